"""What is sent to the kernel at once, in either of two forms: messages, and text for libnftables.

Comes in: rulesets, and the differences between what is loaded and one. Goes out: `KernelBatch`,
which makes the form that is asked for, and says how much of each object is there afterwards.
Nothing is sent here, and nothing refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netpolc.backends.nft import model
from netpolc.backends.nft.names import NOTED, UNCONFIRMED
from netpolc.backends.nft.netlink import commands, words
from netpolc.backends.nft.netlink.record import TableRecord, recorded
from netpolc.backends.nft.netlink.replacement import counts_of, loaded_counts, touched_counts
from netpolc.backends.nft.netlink.wire import Message, Wire
from netpolc.backends.nft.netlink.writing import NotedSet
from netpolc.backends.nft.write.delta import Delta, Fate, Touched
from netpolc.backends.nft.write.owners import Noted
from netpolc.backends.nft.write.ruleset import Ruleset
from netpolc.backends.nft.write.text import addition, counter
from netpolc.core.nets import Family


@dataclass(frozen=True, slots=True)
class KernelBatch:
    """All of it is done, or nothing.

    `counts` is how many elements sets have after it and rules chains, as `counts_of` says it: of
    those that it touches, or of whatever `there` counts in the kernel.
    """

    table: str
    text: Callable[[], str]
    messages: Callable[[], list[Message]]
    counts: Callable[[], dict[str, int]] = dict
    there: Callable[[Wire, str, Iterable[str]], dict[str, int]] = touched_counts


def whole_table(ruleset: Ruleset, notes: Sequence[model.Counter], noted: Noted) -> KernelBatch:
    """Loads a ruleset whole, with some more notes."""
    table = ruleset.options.table

    def entries() -> list[commands.Entry]:
        return [*ruleset.entries(), *notes, *map(noted_set, Family, [noted] * len(Family))]

    def text() -> str:
        said = ruleset.text() + _noting(table, notes)
        return said + addition(table, noted.sets.values())

    def messages() -> list[Message]:
        head = commands.emptied_table(table)
        return [*head, *commands.made(table, entries())]

    def counts() -> dict[str, int]:
        return {key: number for own in entries() for key, number in counts_of(own)}

    return KernelBatch(table, text, messages, counts, _all_counts)


@dataclass(frozen=True, slots=True)
class TableChange:
    """What changes of a table that stays: objects of a ruleset by a `delta`, notes that are `gone`
    and others that come, and what is noted of addresses, by a delta of its own.
    """

    ruleset: Ruleset
    delta: Delta
    gone: Sequence[str] = ()
    notes: Sequence[model.Counter] = ()
    noted: Noted | None = None
    noted_delta: Delta | None = None

    def transaction(self) -> KernelBatch:
        """The transaction."""
        return KernelBatch(self.ruleset.options.table, self._text, self._messages, self._counts)

    def _text(self) -> str:
        table = self.ruleset.options.table
        gone = "".join(f"delete counter inet {table} {own}\n" for own in self.gone)
        owners = self.noted_delta.text if self.noted_delta is not None else ""
        return self.delta.text + gone + _noting(table, self.notes) + owners

    def _messages(self) -> list[Message]:
        table = self.ruleset.options.table
        own = [*_changing(table, self.delta.touched, self._objects())]
        gone = (commands.deleted(table, "counter", name) for name in self.gone)
        owners = self.noted_delta.touched if self.noted_delta is not None else ()
        noted = _changing(table, owners, self._sets())
        return [*own, *gone, *commands.made(table, self.notes), *noted]

    def _counts(self) -> dict[str, int]:
        """Of sets that are edited, and of chains and sets that are made."""
        objects = self._objects()
        found = {
            key: number
            for own in self.delta.touched
            if own.fate is not Fate.DELETED
            for key, number in counts_of(objects([own.key])[0])
            if own.kind != "counter"
        }
        if self.noted is not None and self.noted_delta is not None:
            touched = {own.name for own in self.noted_delta.touched if own.fate is not Fate.DELETED}
            sizes = self.noted.counts
            found |= {f"set {NOTED[own]}": sizes[own] for own in Family if NOTED[own] in touched}
        return found

    def _objects(self) -> _Objects:
        return self.ruleset.entries

    def _sets(self) -> _Objects:
        by_name = {f"set {NOTED[own]}": own for own in Family}
        noted = self.noted
        return lambda keys: [noted_set(by_name[own], noted) for own in keys] if noted else []


_Objects = Callable[[Iterable[str]], Sequence[commands.Entry]]
"""Gives objects by their keys."""


def restoring(record: TableRecord) -> KernelBatch:
    """Brings back a table as it was recorded, without what waited to be confirmed. It has no text:
    who saved it has another.
    """
    left = {UNCONFIRMED}
    return KernelBatch(
        record.table,
        str,
        lambda: list(record.messages(left)),
        lambda: record.counts(left),
        lambda wire, table, _: recorded(wire, table).counts(),
    )


def _all_counts(wire: Wire, table: str, _: Iterable[str]) -> dict[str, int]:
    return loaded_counts(wire, table)


def deleting(table: str) -> KernelBatch:
    """Deletes a table."""
    return KernelBatch(
        table, lambda: f"delete table inet {table}\n", lambda: [commands.deleted_table(table)]
    )


def without_counter(table: str, name: str) -> KernelBatch:
    """Deletes a counter."""
    return KernelBatch(
        table,
        lambda: f"delete counter inet {table} {name}\n",
        lambda: [commands.deleted(table, "counter", name)],
    )


def noted_set(version: Family, noted: Noted) -> NotedSet:
    """The set that notes whose the addresses of a family are."""
    return NotedSet(NOTED[version], version, lambda: noted.entries[version])


def _noting(table: str, notes: Sequence[model.Counter]) -> str:
    return "".join(addition(table, [counter(own)]) for own in notes)


def _changing(table: str, touched: Sequence[Touched], objects: _Objects) -> Iterator[Message]:
    """Empty chains first, then delete, then add, so that nothing is in use when it goes."""
    by_fate: Mapping[Fate, list[Touched]] = {fate: [] for fate in Fate}
    for own in touched:
        by_fate[own.fate].append(own)
    gone = [*by_fate[Fate.DELETED], *by_fate[Fate.MADE_ANEW]]
    for own in (*by_fate[Fate.REWRITTEN], *(own for own in gone if own.kind == "chain")):
        yield commands.flushed_chain(table, own.name)
    edits = by_fate[Fate.EDITED]
    names = [own.key for own in edits]
    entries = dict(zip(names, objects(names), strict=True))
    for own in edits:
        yield from _edited(table, own, entries[own.key], own.removed, gone=True)
    for kind in ("map", "set", "chain", "counter"):
        for own in gone:
            if own.kind == kind:
                yield commands.deleted(table, own.kind, own.name)
    made = [own.key for fate in (Fate.MADE, Fate.MADE_ANEW) for own in by_fate[fate]]
    filled = objects([own.key for own in by_fate[Fate.REWRITTEN]])
    chains = [own for own in filled if isinstance(own, model.Chain)]
    yield from commands.made(table, objects(made), chains)
    for own in edits:
        yield from _edited(table, own, entries[own.key], own.added, gone=False)


def _edited(
    table: str, own: Touched, entry: commands.Entry, elements: Sequence[str], *, gone: bool
) -> Iterator[Message]:
    if isinstance(entry, model.Counter | model.Chain):
        raise AssertionError(f"{own.key} has no elements")
    found = (words.element_of(entry, one) for one in elements)
    yield from commands.element_changes(table, own.name, found, gone=gone, is_map=own.kind == "map")
