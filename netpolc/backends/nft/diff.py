"""The smallest safe transaction from one table to another.

Comes in: the objects of a table as they are and as they shall be, each as text. Goes out: a
`Delta`, or None where only a replacement will do. It knows sets, maps, chains and counters, not
what netpolc makes of them.

An object keeps its name while its question stays the same (see `names.py`), so objects are compared
by name. Members of hash sets and maps are added and deleted; everything else is made anew under its
name, with all rules that refer to it: interval sets, because deleting from a large pipapo set costs
25 ms an element, and hashes whose `size` changes. The kernel commits all of it at once: a packet
meets the old rules or the new ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from netpolc.backends.nft.text import Written, addition

Objects = Mapping[str, Written]
"""By kind and name, as `index` makes it."""


def index(objects: Iterable[Written]) -> dict[str, Written]:
    """Objects by kind and name."""
    return {f"{entry.kind} {entry.name}": entry for entry in objects}


@dataclass(frozen=True, slots=True)
class Delta:
    """A transaction and how much it touches: elements added and deleted, chains that get other
    rules, and sets, maps and chains made, made anew or deleted.
    """

    text: str
    added: int
    removed: int
    chains: int
    objects: int

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def lines(self) -> int:
        """How many lines it would have with one element on each, as a ruleset is written."""
        return self.text.count("\n") + self.added + self.removed

    def __str__(self) -> str:
        return (
            f"elements +{self.added} -{self.removed}, chains rewritten {self.chains}, "
            f"sets, maps and chains made or deleted {self.objects}"
        )


def delta(table: str, old: Objects, new: Objects) -> Delta | None:
    """What makes `old` into `new`; empty if they are equal, None if a base chain itself changes.

    A base chain cannot be moved to another hook or priority while packets pass it.
    """
    changes = _Changes(table, old, new)
    return None if changes.rebased() else changes.delta()


@dataclass(slots=True)
class _Edit:
    """Members that leave a set or map, and those that come."""

    out: list[str]
    into: list[str]


@dataclass(slots=True)
class _Changes:
    table: str
    old: Objects
    new: Objects
    edits: dict[str, _Edit] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    rewritten: set[str] = field(default_factory=set)

    def rebased(self) -> bool:
        """Whether a chain changes in more than its rules."""
        return any(
            entry.head != self.old[key].head
            for key, entry in self.new.items()
            if entry.kind == "chain" and key in self.old
        )

    def delta(self) -> Delta:
        """The transaction: empty chains first, then delete, then add, so that nothing is in use
        when it goes.
        """
        self._compare()
        gone = [key for key in self.old if key not in self.new]
        fresh = [key for key in self.new if key not in self.old]
        lines = (*self._deletions(gone), *self._additions(fresh))
        return Delta(
            "".join(lines),
            sum(len(edit.into) for edit in self.edits.values()),
            sum(len(edit.out) for edit in self.edits.values()),
            len(self.rewritten),
            sum(not key.startswith("counter ") for key in (*gone, *fresh, *self.remade)),
        )

    def _compare(self) -> None:
        for key, entry in self.new.items():
            before = self.old.get(key)
            if before is None:
                continue
            if before.head != entry.head:
                self.remade.add(key)
            elif before.body != entry.body:
                if entry.kind == "chain":
                    self.rewritten.add(key)
                else:
                    self._edit(key, before.body, entry)
        if self.remade:
            names = "|".join(self.new[key].name for key in self.remade)
            uses = re.compile(rf"(?:@|counter name )(?:{names})\b").search
            self.rewritten.update(
                key
                for key, entry in self.old.items()
                if entry.kind == "chain" and key in self.new and any(map(uses, entry.body))
            )

    def _edit(self, key: str, before: tuple[str, ...], entry: Written) -> None:
        had, has = frozenset(before), frozenset(entry.body)
        edit = _Edit(sorted(had - has), sorted(has - had))
        if not edit.out and not edit.into:
            return  # the same in another order: a listing has the kernel's
        # Until the commit the kernel counts those that leave as well.
        if len(had) + len(edit.into) <= _size(entry):
            self.edits[key] = edit
        else:
            self.remade.add(key)

    def _deletions(self, gone: list[str]) -> Iterator[str]:
        chains = [key for key in gone if self.old[key].kind == "chain"]
        for key in (*sorted(self.rewritten), *chains):
            yield f"flush chain inet {self.table} {self.old[key].name}\n"
        yield from self._elements("delete", {key: edit.out for key, edit in self.edits.items()})
        for kinds in (("map",), ("set",), ("chain",), ("counter",)):
            for key in (*gone, *sorted(self.remade)):
                entry = self.old[key]
                if entry.kind in kinds:
                    yield f"delete {entry.kind} inet {self.table} {entry.name}\n"

    def _additions(self, fresh: list[str]) -> Iterator[str]:
        order = ("counter", "set", "map", "chain")
        keys = sorted(
            {*fresh, *self.remade, *self.rewritten},
            key=lambda key: (order.index(self.new[key].kind), key),
        )
        if keys:
            yield addition(self.table, [self.new[key] for key in keys])
        yield from self._elements("add", {key: edit.into for key, edit in self.edits.items()})

    def _elements(self, verb: str, members: Mapping[str, list[str]]) -> Iterator[str]:
        for key, elements in members.items():
            if elements:
                listed = ", ".join(elements)
                name = self.new[key].name
                yield f"{verb} element inet {self.table} {name} {{ {listed} }}\n"


def _size(entry: Written) -> int:
    """How many elements fit; 0 for interval sets, which are never edited."""
    sizes = [int(line.removeprefix("size ")) for line in entry.head if line.startswith("size ")]
    return sizes[0] if sizes else 0
