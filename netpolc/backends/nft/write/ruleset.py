"""A node's ruleset: the table, and its two written forms.

Comes in from `lower`. Goes out: text for `nft -f` and JSON for libnftables, each a whole
transaction that replaces the table, whatever was in it before, and the objects that `delta.py`
compares. The digest names the content and travels with it, in the comment of a counter, so that
`status` can tell what is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256

from msgspec import structs

from netpolc.backends.nft import model
from netpolc.backends.nft.names import (
    DIGEST,
    GENERATION,
    LOADED,
    MAX_COMMENT,
    ODD,
    OPTIONS,
    PENDING_NOTE,
    POD_BRIDGES_NOTE,
)
from netpolc.backends.nft.objects import Objects, Written, index
from netpolc.backends.nft.options import Options
from netpolc.backends.nft.write import text
from netpolc.backends.nft.write.digest import digest_over
from netpolc.backends.nft.write.owners import Owners
from netpolc.backends.nft.write.pieces import Pieces, TablePieces

_MANY = 100
"""So many odd objects are told one by one: a cluster that has more has one cause for them."""


def meaning(objects: Objects) -> dict[str, Written]:
    """The objects of a table but those that tell of odd objects, which packets never meet."""
    return {key: own for key, own in objects.items() if not own.name.startswith(ODD)}


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
    owners: Owners
    chosen: int | None = None
    odd: tuple[str, ...] = ()
    """What to say of objects that are not enforced as they were written; no part of the digest."""
    pieces: Pieces = field(default_factory=Pieces, repr=False)
    """What rulesets of other nodes may have made already."""

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
        vars(other).update(_pieces=self._pieces, digest=self.digest)
        return other

    def edited(
        self, table: model.Table, owners: Owners, others: Iterable[model.NamedSet | model.NamedMap]
    ) -> Ruleset:
        """The ruleset of a table in which no more than the elements of `others` differ; what was
        made of all the rest is not made again.
        """
        made = replace(self, table=table, owners=owners)
        pieces = self.pieces.made(others)
        vars(made)["_pieces"] = self._pieces.edited(pieces)
        if not self.options.recheck:
            final = {key: own.written for key, own in pieces.items()}
            vars(made)["_final"] = self._final | final
        return made

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
        return digest_over(self._pieces.digests.values())

    @cached_property
    def _pieces(self) -> TablePieces:
        return TablePieces({own.key: own for own in self.pieces.of(self.table)})

    @cached_property
    def _final(self) -> dict[str, Written]:
        """The objects with their generation written in."""
        if not self.options.recheck:
            return {key: own.written for key, own in self._pieces.by_key.items()}
        mask, before, after = self.options.mark_mask, model.NO_GENERATION, self.generation
        return {
            key: own.written.remarked(mask, before, after)
            for key, own in self._pieces.by_key.items()
        }

    def entries(self, keys: Iterable[str] | None = None) -> list[text.Entry]:
        """Objects as `lower` made them, with their generation, by their keys; all, facts included,
        where no keys are given.
        """
        facts: dict[str, text.Entry] = {f"counter {own.name}": own for own in self.facts}
        pieces = self._pieces.by_key
        wanted = (*facts, *pieces) if keys is None else keys
        found = [facts[own] if own in facts else pieces[own].entry for own in wanted]
        if not self.options.recheck:
            return found
        number = self.generation
        return [_marked(own, number) if isinstance(own, model.Chain) else own for own in found]

    @cached_property
    def facts(self) -> tuple[model.Counter, ...]:
        """Counters that count nothing; their comments say what is loaded."""
        facts = (
            model.Counter(DIGEST, self.digest),
            model.Counter(OPTIONS, self.options.describe()),
            model.Counter(POD_BRIDGES_NOTE, self.options.describe_bridges()),
            *_odd_facts(self.odd),
        )
        if self.options.denies_pending:
            facts = (*facts, model.Counter(PENDING_NOTE, self.options.describe_pending()))
        if self.options.recheck:
            return (*facts, model.Counter(GENERATION, f"{self.generation:#x}"))
        return facts

    @cached_property
    def objects(self) -> Objects:
        """Every object of the table, facts included, by its key."""
        return index(map(text.counter, self.facts)) | self._final

    def text(self) -> str:
        """The transaction as text."""
        what = f"node {self.node}" if self.node is not None else "every pod of the snapshot"
        body = (
            own.block() if final is own.written else final.block()
            for own, final in zip(self._pieces.by_key.values(), self._final.values(), strict=True)
        )
        return text.transaction(self.table.name, body, self.facts, what, self.digest)

    def loaded_at(self, moment: str) -> str:
        """One more command of the text: notes when it was loaded."""
        return text.addition(self.table.name, [text.counter(model.Counter(LOADED, moment))])

    def json(self) -> str:
        """The transaction as libnftables JSON (libnftables-json(5)).

        The one thing it lacks is the table's comment, which JSON cannot say in nft 1.0.6.
        """
        from netpolc.backends.nft.write import json

        return json.transaction(self.marked_table, self.facts)

    @property
    def marked_table(self) -> model.Table:
        """The table with its generation in its rules, and without the facts."""
        chains = tuple(_marked(chain, self.generation) for chain in self.table.chains)
        return structs.replace(self.table, chains=chains)


def _odd_facts(odd: tuple[str, ...]) -> Iterator[model.Counter]:
    """A counter for each odd object, named by what it says, so that others stay as they are."""
    more = len(odd) - _MANY
    for told in (*odd[:_MANY], *((f"and {more} more",) if more > 0 else ())):
        short = told if len(told) <= MAX_COMMENT else f"{told[: MAX_COMMENT - 3]}..."
        yield model.Counter(f"{ODD}{sha256(told.encode()).hexdigest()[:12]}", short)


def _marked(chain: model.Chain, generation: int) -> model.Chain:
    """A chain whose matches and statements about the flow's mark are of one generation."""
    rules = []
    for rule in chain.rules:
        matches = (
            structs.replace(own, value=generation) if isinstance(own, model.FlowMark) else own
            for own in rule.matches
        )
        statements = (
            structs.replace(own, value=generation) if isinstance(own, model.MarkFlow) else own
            for own in rule.statements
        )
        rules.append(structs.replace(rule, matches=tuple(matches), statements=tuple(statements)))
    return structs.replace(chain, rules=tuple(rules))
