"""The smallest safe transaction from one table to another.

Comes in: the objects of a table as they are and as they shall be. Goes out: a `Delta`, or None
where only a replacement will do. It knows sets, maps, chains and counters, not what netpolc makes
of them.

An object keeps its name while its question stays the same (see `names.py`), so objects are compared
by name. Members of hash sets and maps are added and deleted; everything else is made anew under its
name, with all rules that refer to it: interval sets, because deleting from a large pipapo set costs
25 ms an element, and hashes whose `size` changes. The kernel commits all of it at once: a packet
meets the old rules or the new ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import compress
from operator import is_not, ne

from netpolc.backends.nft.objects import Kind, Objects, Written
from netpolc.backends.nft.write.text import addition
from netpolc.core.errors import counted


class Fate(StrEnum):
    """What becomes of an object."""

    MADE = "made"
    DELETED = "deleted"
    MADE_ANEW = "made anew"
    REWRITTEN = "gets other rules"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class Touched:
    """An object that a transaction touches; of an edited one, the elements that come and go."""

    kind: Kind
    name: str
    fate: Fate
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its kind and name."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Delta:
    """A transaction, and the objects that it touches in order of kind and name."""

    text: str
    touched: tuple[Touched, ...]

    def __bool__(self) -> bool:
        return bool(self.text)

    @property
    def added(self) -> int:
        """How many elements it adds to sets and maps that stay."""
        return sum(len(own.added) for own in self.touched)

    @property
    def removed(self) -> int:
        """How many elements it deletes from them."""
        return sum(len(own.removed) for own in self.touched)

    @property
    def chains(self) -> int:
        """How many chains get other rules."""
        return self._with(Fate.REWRITTEN)

    @property
    def objects(self) -> int:
        """How many sets, maps and chains are made, made anew or deleted."""
        return self._with(Fate.MADE, Fate.MADE_ANEW, Fate.DELETED)

    def _with(self, *fates: Fate) -> int:
        return sum(own.fate in fates and own.kind != "counter" for own in self.touched)

    @property
    def lines(self) -> int:
        """How many lines it would have with one element on each, as a ruleset is written."""
        return self.text.count("\n") + self.added + self.removed

    def __str__(self) -> str:
        parts = (
            (self.added, f"{counted(self.added, 'element')} added"),
            (self.removed, f"{counted(self.removed, 'element')} removed"),
            (self.chains, f"{counted(self.chains, 'chain')} rewritten"),
            (self.objects, f"{counted(self.objects, 'object')} made or deleted"),
        )
        return ", ".join(said for count, said in parts if count) or "only counters"


NOTHING = Delta("", ())
"""The transaction that changes nothing."""


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
    differing: list[str] = field(init=False)
    """What is there before and after, and not the same. Most objects are what they were, so none of
    those costs a line of Python."""
    fresh: list[str] = field(init=False)
    gone: list[str] = field(init=False)
    edits: dict[str, _Edit] = field(default_factory=dict)
    remade: set[str] = field(default_factory=set)
    rewritten: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        old, new = self.old, self.new
        others = list(compress(new, map(is_not, map(old.get, new), new.values())))
        self.fresh = [key for key in others if key not in old]
        pairs = map(ne, map(old.get, others), map(new.get, others))
        self.differing = [key for key in compress(others, pairs) if key in old]
        stay = len(new) - len(self.fresh)
        self.gone = [key for key in old if key not in new] if stay < len(old) else []

    def rebased(self) -> bool:
        """Whether a chain changes in more than its rules."""
        pairs = ((self.new[key], self.old[key]) for key in self.differing)
        return any(own.head != was.head for own, was in pairs if own.kind == "chain")

    def delta(self) -> Delta:
        """The transaction: empty chains first, then delete, then add, so that nothing is in use
        when it goes.
        """
        self._compare()
        lines = (*self._deletions(), *self._additions())
        return Delta("".join(lines), tuple(self._touched()))

    def _touched(self) -> Iterator[Touched]:
        fates = {
            **dict.fromkeys(self.gone, Fate.DELETED),
            **dict.fromkeys(self.fresh, Fate.MADE),
            **dict.fromkeys(self.remade, Fate.MADE_ANEW),
            **dict.fromkeys(self.rewritten, Fate.REWRITTEN),
            **dict.fromkeys(self.edits, Fate.EDITED),
        }
        for key in sorted(fates):
            entry = self.new.get(key) or self.old[key]
            edit = self.edits.get(key) or _Edit([], [])
            yield Touched(entry.kind, entry.name, fates[key], tuple(edit.into), tuple(edit.out))

    def _compare(self) -> None:
        for key in self.differing:
            before, entry = self.old[key], self.new[key]
            if before.opening != entry.opening:
                self.remade.add(key)
            elif before.rules != entry.rules:
                self.rewritten.add(key)
            elif before.elements != entry.elements:
                self._edit(key, before, entry)
        if self.remade:
            self.rewritten.update(
                key
                for key, entry in self.old.items()
                if entry.kind == "chain" and key in self.new and self.remade & entry.refers
            )

    def _edit(self, key: str, before: Written, entry: Written) -> None:
        had, has = frozenset(before.elements), frozenset(entry.elements)
        edit = _Edit(sorted(had - has), sorted(has - had))
        if not edit.out and not edit.into:
            return  # the same in another order: a listing has the kernel's
        # Until the commit the kernel counts those that leave as well; a set of intervals has no
        # size, and is never edited.
        if entry.size is not None and len(had) + len(edit.into) <= entry.size:
            self.edits[key] = edit
        else:
            self.remade.add(key)

    def _deletions(self) -> Iterator[str]:
        chains = [key for key in self.gone if self.old[key].kind == "chain"]
        for key in (*sorted(self.rewritten), *chains):
            yield f"flush chain inet {self.table} {self.old[key].name}\n"
        yield from self._elements("delete", {key: edit.out for key, edit in self.edits.items()})
        for kinds in (("map",), ("set",), ("chain",), ("counter",)):
            for key in (*self.gone, *sorted(self.remade)):
                entry = self.old[key]
                if entry.kind in kinds:
                    yield f"delete {entry.kind} inet {self.table} {entry.name}\n"

    def _additions(self) -> Iterator[str]:
        order = ("counter", "set", "map", "chain")
        keys = sorted(
            {*self.fresh, *self.remade, *self.rewritten},
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
