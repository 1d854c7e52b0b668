"""A node's ruleset: the table, and its two written forms.

Comes in from `lower.py`. Goes out: text for `nft -f` and JSON for libnftables, each a whole
transaction that replaces the table, whatever was in it before, and the objects that `diff.py`
compares. The digest names the content and travels with it, in the comment of a counter, so that
`status` can tell what is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

from netpolc.backends.nft import json, model, text
from netpolc.backends.nft.options import Options

NOTE = "meta_"
"""What names of counters begin with that only say something about the table."""
DIGEST = f"{NOTE}digest"
OPTIONS = f"{NOTE}options"
LOADED = f"{NOTE}loaded"
UNCONFIRMED = f"{NOTE}unconfirmed"
GENERATION = f"{NOTE}generation"
_MASK = re.compile(r" mark=(0x[0-9a-f]{1,8})\b", re.ASCII)
_VALUE = re.compile(r'"(0x[1-9a-f][0-9a-f]{0,7})"', re.ASCII)


def digest_of(objects: Iterable[text.Written]) -> str:
    """Names what a table holds, in whatever order it was listed; notes about it are left out.

    Only rules have an order that means anything, within their chain. The generation is a note, too,
    where rules have the one that is noted (see `Ruleset`).
    """
    content = sha256()
    for entry in sorted(_unmarked(objects), key=lambda entry: (entry.kind, entry.name)):
        if not entry.name.startswith(NOTE):
            content.update(entry.content().encode())
    return f"sha256:{content.hexdigest()[:32]}"


def _unmarked(objects: Iterable[text.Written]) -> list[text.Written]:
    found = list(objects)
    notes = {entry.name: " ".join(entry.head) for entry in found if entry.name.startswith(NOTE)}
    mask, value = _MASK.search(notes.get(OPTIONS, "")), _VALUE.search(notes.get(GENERATION, ""))
    if mask is None or value is None:
        return found
    before, after = int(value[1], 16), model.NO_GENERATION
    return [text.remarked(entry, int(mask[1], 16), before, after) for entry in found]


@dataclass(frozen=True, eq=False)
class Ruleset:
    """The ruleset of `node` (None: every pod of the snapshot is local).

    With `--established recheck` flows that it judged carry its generation in their mark. The
    generation is no part of `table` or of the digest: `Kernel` takes one that no open flow carries
    (None: one that follows from the content).
    """

    table: model.Table
    options: Options
    node: str | None
    chosen: int | None = None

    @property
    def generation(self) -> int:
        """What flows that it judged carry in their mark; 0 where nothing is rechecked."""
        if not self.options.recheck:
            return 0
        return next(self.generations()) if self.chosen is None else self.chosen

    def marked(self, generation: int) -> Ruleset:
        """The same ruleset of another generation."""
        other = replace(self, chosen=generation)
        # What does not depend on it is not made twice: it is most of the work.
        vars(other).update(_written=self._written, digest=self.digest)
        return other

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
        return digest_of(self._written)

    @cached_property
    def _written(self) -> tuple[text.Written, ...]:
        return tuple(text.objects(self.table))

    @cached_property
    def _final(self) -> tuple[text.Written, ...]:
        """The objects with their generation written in."""
        if not self.options.recheck:
            return self._written
        mask, before, after = self.options.mark_mask, model.NO_GENERATION, self.generation
        return tuple(text.remarked(entry, mask, before, after) for entry in self._written)

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

    @property
    def lines(self) -> int:
        """How many lines the text has, about."""
        return sum(entry.lines for entry in self._final)

    def objects(self) -> tuple[text.Written, ...]:
        """Every object of the table, facts included, as text."""
        return (*map(text.counter, self.facts), *self._final)

    def text(self) -> str:
        """The transaction as text."""
        what = f"node {self.node}" if self.node is not None else "every pod of the snapshot"
        body = "".join(entry.block() for entry in self._final)
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
        chains = tuple(_marked(chain, self.generation) for chain in self.table.chains)
        return json.transaction(replace(self.table, chains=chains), self.facts)


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
