"""A node's ruleset: the table, and its two written forms.

Comes in from `lower.py`. Goes out: text for `nft -f` and JSON for libnftables, each a whole
transaction that replaces the table, whatever was in it before, and the objects that `diff.py`
compares. The digest names the content and travels with it, in the comment of a counter, so that
`status` can tell what is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

from netpolc.backends.nft import json, model, text
from netpolc.backends.nft.options import Options

DIGEST = "meta_digest"
OPTIONS = "meta_options"
LOADED = "meta_loaded"
GENERATION = "meta_generation"
SEAL = "meta_seal"
UNCONFIRMED = "meta_unconfirmed"


@dataclass(frozen=True, eq=False)
class Ruleset:
    """The ruleset of `node` (None: every pod of the snapshot is local).

    With `--established recheck` flows that it judged carry its generation in their mark. The
    generation is no part of the digest: `Kernel.load` takes one that no open flow carries.
    """

    table: model.Table
    options: Options
    node: str | None
    generation: int = 0

    @classmethod
    def of(cls, table: model.Table, options: Options, node: str | None) -> Ruleset:
        """The ruleset of an unmarked table; the generation comes from its content."""
        own = cls(table, options, node)
        return own.marked(next(own.generations())) if options.recheck else own

    def marked(self, generation: int) -> Ruleset:
        """The same ruleset of another generation."""
        return replace(self, generation=generation)

    def generations(self) -> Iterator[int]:
        """Every generation there is, as bits of the mark; first the one its content names."""
        options = self.options
        highest = options.mark_mask >> options.mark_shift
        first = int(self.digest.removeprefix("sha256:")[:8], 16) % highest
        for number in range(first, first + highest):
            yield (number % highest + 1) << options.mark_shift

    @cached_property
    def digest(self) -> str:
        """Names the content: equal digests mean equal rulesets."""
        body = _blocks(text.objects(self.table))
        return f"sha256:{sha256(body.encode()).hexdigest()[:32]}"

    @property
    def facts(self) -> tuple[model.Counter, ...]:
        """Counters that count nothing; their comments say what is loaded."""
        facts = (
            model.Counter(DIGEST, self.digest),
            model.Counter(OPTIONS, self.options.describe()),
        )
        if self.options.recheck:
            return (*facts, model.Counter(GENERATION, f"{self.generation:#x}"))
        return facts

    @cached_property
    def _final(self) -> model.Table:
        """The table with its generation written in."""
        if not self.options.recheck:
            return self.table
        chains = tuple(_marked(chain, self.generation) for chain in self.table.chains)
        return replace(self.table, chains=chains)

    @cached_property
    def _written(self) -> tuple[text.Written, ...]:
        return tuple(text.objects(self._final))

    def objects(self) -> tuple[text.Written, ...]:
        """Every object of the table, facts included, as text."""
        return (*map(text.counter, self.facts), *self._written)

    def text(self) -> str:
        """The transaction as text."""
        what = f"node {self.node}" if self.node is not None else "every pod of the snapshot"
        body = _blocks(self._written)
        return text.transaction(self.table.name, body, self.facts, what, self.digest)

    def loaded_at(self, moment: str) -> str:
        """One more command of the same transaction: notes when it was loaded."""
        return text.addition(self.table.name, [text.counter(model.Counter(LOADED, moment))])

    def waiting(self, note: str) -> str:
        """One more command of the same transaction: notes that somebody has yet to confirm it."""
        return text.addition(self.table.name, [text.counter(model.Counter(UNCONFIRMED, note))])

    def json(self) -> str:
        """The transaction as libnftables JSON (libnftables-json(5)).

        The one thing it lacks is the table's comment, which JSON cannot say in nft 1.0.6.
        """
        return json.transaction(self._final, self.facts)


def _marked(chain: model.Chain, generation: int) -> model.Chain:
    """A chain whose matches and statements about the flow's mark are of one generation."""
    rules = []
    for rule in chain.rules:
        matches = (
            replace(own, value=generation) if isinstance(own, model.FlowMark) else own
            for own in rule.matches
        )
        statements = (
            replace(own, value=generation) if isinstance(own, model.MarkFlow) else own
            for own in rule.statements
        )
        rules.append(replace(rule, matches=tuple(matches), statements=tuple(statements)))
    return replace(chain, rules=tuple(rules))


def _blocks(objects: Iterable[text.Written]) -> str:
    return "".join(entry.block() for entry in objects)
