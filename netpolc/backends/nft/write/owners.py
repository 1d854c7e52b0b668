"""Whose address is whose, as the loaded table knows it: flows end with the pod they belong to.

Comes in: a Program, a node, and what the table in force notes. Goes out: the addresses that changed
hands or whose pod is gone, and the sets that note, for the next run, who has each address now. A
pod is its UID where the snapshot tells it, and else its namespace and name: a StatefulSet's next
pod has the name of the last. Nothing is refused.

Noted are the pods of the node, isolated or not, and those that its rules admit by name. The notes
are sets that no rule asks, with a comment on each element; like the other notes they are no part of
the table's digest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import chain, compress
from operator import ne

from netpolc.backends.nft import model
from netpolc.backends.nft.names import NOTED
from netpolc.backends.nft.objects import Objects, Written, index
from netpolc.backends.nft.write import text
from netpolc.backends.nft.write.delta import Delta, delta
from netpolc.core.cluster import Pod
from netpolc.core.ir import ANY, Direction
from netpolc.core.nets import IPV6, Family, format_address
from netpolc.core.program import Program

Notes = Mapping[int, str]
"""Who has each address: digests of the pod's name and of its UID, or `-` where it is not known."""
_REMEMBERED = 1 << 18
"""What a process that applies again and again keeps of pods that stay."""


class Shared(dict[int, str]):
    """Notes that others differ from; never changed."""

    @cached_property
    def counts(self) -> dict[Family, int]:
        """How many there are of each family."""
        return _counts(self.keys())


class Layered(Mapping[int, str]):
    """Notes that differ in few addresses from others, `base`, that are shared; None: none there.

    What differs between two of one base is found in what each of them changes.
    """

    def __init__(self, base: Shared, own: Mapping[int, str | None]) -> None:
        self.base, self.own = base, own
        gone = sum(own[at] is None for at in own.keys() & base.keys())
        self._size = (
            len(base) - gone + sum(note is not None for at, note in own.items() if at not in base)
        )

    @classmethod
    def over(cls, notes: Notes, more: Mapping[int, str]) -> Layered:
        """Some notes with others in their place."""
        if isinstance(notes, Layered):
            return cls(notes.base, {**notes.own, **more})
        return cls(Shared(notes), more)

    def plain(self) -> dict[int, str]:
        """The same, sharing nothing."""
        found: dict[int, str] = {}
        found.update(self.base)
        for address, note in self.own.items():
            if note is None:
                found.pop(address, None)
            else:
                found[address] = note
        return found

    def __getitem__(self, address: int) -> str:
        found = self.own[address] if address in self.own else self.base[address]
        if found is None:
            raise KeyError(address)
        return found

    def __contains__(self, address: object) -> bool:
        if address in self.own:
            return self.own[address] is not None  # type: ignore[index]
        return address in self.base

    def __iter__(self) -> Iterator[int]:
        yield from (at for at in self.base if at not in self.own)
        yield from (at for at, note in self.own.items() if note is not None)

    def __len__(self) -> int:
        return self._size


class Owners:
    """The owners of addresses that matter on one node (None: every pod is local)."""

    def __init__(self, program: Callable[[], Program], node: str | None) -> None:
        self._program, self.node = program, node
        self._moved: tuple[Notes | None, tuple[int, ...]] = None, ()

    @cached_property
    def program(self) -> Program:
        """Who the owners are of; made when it is asked for."""
        return self._program()

    @cached_property
    def local(self) -> frozenset[int]:
        """The addresses of the node's pods."""
        return frozenset(address for _, pod in self._local for address in pod.addresses)

    @cached_property
    def notes(self) -> Notes:
        """All that is noted of the snapshot."""
        members, addresses = peers_admitted(self.program, {number for number, _ in self._local})
        identities = self.program.identities
        peers = (pod for number in sorted(members) for pod in identities[number].pods)
        others = (pod for number, pod in self._local if number not in members)
        found = {address: note_of(pod) for pod in chain(peers, others) for address in pod.addresses}
        for address in addresses:
            found[address] = self._note(address) or found[address]
        return found

    @cached_property
    def base(self) -> Shared:
        """The same, for notes that differ in few addresses."""
        return Shared(self.notes)

    @cached_property
    def noted(self) -> Noted:
        """All that is noted, as it is written."""
        return Noted(self.notes)

    def moved(self, before: Notes) -> tuple[int, ...]:
        """The addresses that had another pod, or have none any more."""
        asked, found = self._moved
        if asked is not before:  # asked twice an update, and the notes are as many as the pods
            changed = _changed(before, self.notes)
            moved = (own for own in changed if not same(before[own], self._note(own)))
            found = tuple(sorted(moved))
            self._moved = before, found
        return found

    def is_free(self, address: int) -> bool:
        """Whether no pod of the cluster has an address."""
        return self._note(address) is None

    def arrived(self, before: Notes) -> frozenset[int]:
        """The addresses of the node's pods that were nobody's."""
        return frozenset(own for own in self.local if own not in before)

    def pending(self, before: Notes) -> Noted:
        """What is noted for as long as flows of addresses that moved are not yet forgotten."""
        moved = self.moved(before)
        if not moved:
            return self.noted
        return Noted(Layered.over(self.notes, {address: before[address] for address in moved}))

    @cached_property
    def _local(self) -> list[tuple[int, Pod]]:
        return [
            (identity.number, pod)
            for identity in self.program.identities
            for pod in identity.pods
            if pod.is_on(self.node)
        ]

    def _note(self, address: int) -> str | None:
        pod = self.program.pods_by_address.get(address)
        return None if pod is None else note_of(pod)


def peers_admitted(program: Program, local: Iterable[int]) -> tuple[set[int], set[int]]:
    """The identities that rules for some pods admit by name, and single addresses."""
    judging = {
        id(found): found
        for number in local
        for direction in Direction
        if (found := program.combination_of.get((direction, number)))
    }
    rules = (rule for found in judging.values() for tier in found.tiers for rule in tier.rules)
    members: set[int] = set()
    addresses: set[int] = set()
    for rule in {id(rule): rule for rule in rules}.values():
        match = rule.match
        if match.identities is not ANY:
            members |= match.identities
        if rule.question is not None and rule.question.networks and match.networks is not ANY:
            for first, last in match.networks:  # pods in a block, by a port's name
                addresses.update(range(first, last + 1))
    return members, addresses


class Noted:
    """What a table notes (None: nothing), and the sets that it stands in.

    Sets that were read back are kept as they are: somebody else may have put something there.
    """

    def __init__(self, notes: Notes | None, listed: Objects | None = None) -> None:
        self.notes, self._listed = notes, listed

    @cached_property
    def sets(self) -> Objects:
        """The sets by their keys."""
        if self._listed is not None:
            return self._listed
        return _sets(self.notes or {}, self._counts)

    @cached_property
    def entries(self) -> dict[Family, tuple[tuple[int, str], ...]]:
        """The notes of each set."""
        found: dict[Family, list[tuple[int, str]]] = {version: [] for version in Family}
        for own in (self.notes or {}).items():
            found[Family.IPV4 if own[0] < IPV6 else Family.IPV6].append(own)
        return {version: tuple(own) for version, own in found.items()}

    @property
    def counts(self) -> Mapping[Family, int]:
        """How many notes each set has."""
        return self._counts

    @cached_property
    def _counts(self) -> dict[Family, int]:
        return _counts(self.notes or {})

    def delta(self, table: str, new: Noted) -> Delta:
        """What makes these sets those of `new`.

        Only what differs is written where sets keep their size: there are as many notes as pods
        that matter, and few of them change at a time.
        """
        old_sets, new_sets = self._differing(new) or (self.sets, new.sets)
        found = delta(table, old_sets, new_sets)
        if found is None:
            raise AssertionError("a set became a base chain")
        return found

    def _differing(self, new: Noted) -> tuple[Objects, Objects] | None:
        """The sets of both with nothing in them but what differs; None where it takes them all."""
        before, after = self.notes, new.notes
        if self._listed is not None or before is None or after is None:
            return None
        changed = _changed(before, after)
        into = {own: after[own] for own in changed if own in after}
        if len(after) > len(before) - len(changed) + len(into):  # some are new
            into = {own: after[own] for own in _changed(after, before)}
        out = {own: before[own] for own in changed}
        coming = _counts(into)
        for version, count in self._counts.items():
            size = model.room(new._counts[version])
            if model.room(count) != size or count + coming[version] > size:
                return None
        return _sets(out, self._counts), _sets(into, new._counts)


def _changed(one: Notes, other: Notes) -> list[int]:
    """The addresses of which another has another note, or none."""
    if isinstance(one, Layered) and isinstance(other, Layered) and one.base is other.base:
        apart = {address for address, _ in one.own.items() ^ other.own.items()}
        return sorted(at for at in apart if at in one and one[at] != other.get(at))
    one, other = (own.plain() if isinstance(own, Layered) else own for own in (one, other))
    return list(compress(one, map(ne, map(other.get, one), one.values())))


def _counts(addresses: Collection[int]) -> dict[Family, int]:
    if isinstance(addresses, Layered):
        found = dict(addresses.base.counts)
        for address, note in addresses.own.items():
            version = Family.IPV4 if address < IPV6 else Family.IPV6
            found[version] += (note is not None) - (address in addresses.base)
        return found
    later = sum(map(IPV6.__le__, addresses))
    return {Family.IPV4: len(addresses) - later, Family.IPV6: later}


def same(one: str, other: str | None) -> bool:
    """Whether two notes mean one pod; names tell it where one of them knows no UID."""
    if other is None:
        return False
    (name, uid), (also, its) = one.split(), other.split()
    return uid == its if "-" not in (uid, its) else name == also


def differing(one: Notes, other: Notes) -> list[int]:
    """The addresses that two tables know as those of different pods."""
    return [own for own, note in one.items() if own in other and not same(note, other[own])]


def _sets(notes: Notes, counts: Mapping[Family, int]) -> Objects:
    """Sets with room for so many notes, and some of them in it."""
    elements: dict[Family, list[str]] = {version: [] for version in Family}
    for address, note in notes.items():
        version = Family.IPV4 if address < IPV6 else Family.IPV6
        elements[version].append(_element(address, note))
    return index(
        Written(
            "set",
            NOTED[version],
            (f"typeof {text.IP[version]} saddr",),
            model.room(counts[version]),
            tuple(own),
        )
        for version, own in elements.items()
    )


@lru_cache(_REMEMBERED)
def _element(address: int, note: str) -> str:
    return f'{format_address(address)} comment "{note}"'


def note_of(pod: Pod) -> str:
    """What is noted of a pod beside each of its addresses."""
    return _note(pod.namespace, pod.name, pod.uid)


@lru_cache(_REMEMBERED)
def _note(namespace: str, name: str, uid: str) -> str:
    return f"{_digest(f'{namespace}/{name}')} {_digest(uid) if uid else '-'}"


def _digest(words: str) -> str:
    return blake2b(words.encode(), digest_size=8).hexdigest()
