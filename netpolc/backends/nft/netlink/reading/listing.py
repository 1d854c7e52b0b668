"""What a table holds, asked of the kernel: of this table, and of no other.

Comes in: the name of an inet table. Goes out: its objects as the kernel has them. Refused: what the
kernel refuses (`OSError`), objects that netpolc never makes (`RulesetError`).

The kernel lists sets, elements, counters and rules of one table. Chains it lists of all of a family
or one by one: those that have rules, or that rules or maps lead to, are known by name and asked for
by name. A table tells how many objects it has; only where that is another number, because somebody
added a chain that nothing leads to, all of them are listed. It is another number, too, while
somebody has a transaction checked (`nft -c`) that deletes objects: the kernel counts them no more,
and lists them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from netpolc.backends.nft.netlink import entities
from netpolc.backends.nft.netlink.attributes import as_number, by_type, packed, text, zero_ended
from netpolc.backends.nft.netlink.elements import columns, read_elements
from netpolc.backends.nft.netlink.entities import (
    KernelChain,
    KernelCounter,
    KernelElement,
    KernelRule,
    KernelSet,
    KernelTable,
)
from netpolc.backends.nft.netlink.expressions import Immediate
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.core.errors import RulesetError

_COUNTER = packed(3, (1).to_bytes(4, "big"))  # NFTA_OBJ_TYPE: NFT_OBJECT_COUNTER


@dataclass(frozen=True, slots=True)
class ListedSet:
    """A set or map with its elements: `keys`, with a comment each or with none at all, and the
    `elements` that have more than that.

    Their order is the kernel's, which means nothing.
    """

    declared: KernelSet
    keys: tuple[bytes, ...]
    comments: tuple[str, ...]
    elements: tuple[KernelElement, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """All that a table holds; rules of a chain are in order."""

    table: KernelTable
    counters: tuple[KernelCounter, ...]
    sets: tuple[ListedSet, ...]
    chains: tuple[tuple[KernelChain, tuple[KernelRule, ...]], ...]


class Inspector:
    """Asks for tables over one socket."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def table(self, name: str) -> KernelTable | None:
        """A table without its objects; None when there is none."""
        found = self._wire.one(entities.GET_TABLE, packed(1, zero_ended(name)))
        return None if found is None else entities.read_table(found)

    def owner(self, table: str) -> int | None:
        """The socket of the program that owns a table, whose number most often is the process's;
        None if nobody owns it.
        """
        found = self._wire.one(entities.GET_TABLE, packed(1, zero_ended(table)))
        owner = by_type(found).get(7) if found is not None else None  # NFTA_TABLE_OWNER
        return None if owner is None else as_number(owner)

    def counters(self, table: str) -> tuple[KernelCounter, ...] | None:
        """The counters of a table; None when there is no such table."""
        if self._wire.one(entities.GET_TABLE, packed(1, zero_ended(table))) is None:
            return None
        asked = packed(1, zero_ended(table)) + _COUNTER
        return tuple(map(entities.read_counter, self._wire.listed(entities.GET_OBJECT, asked)))

    def content(self, name: str, *, passed_over: Collection[str] = ()) -> Content | None:
        """All of a table; None when there is none. Sets that are `passed_over` have no elements."""
        table = self.table(name)
        if table is None:
            return None
        asked = packed(1, zero_ended(name))
        objects = self._wire.listed(entities.GET_OBJECT, asked)
        counters = tuple(map(entities.read_counter, objects))
        declared = map(entities.read_set, self._wire.listed(entities.GET_SET, asked))
        sets = tuple(
            ListedSet(own, (), (), ()) if own.name in passed_over else self.members(name, own)
            for own in declared
        )
        rules: dict[str, list[KernelRule]] = {}
        for rule in map(entities.read_rule, self._wire.listed(entities.GET_RULE, asked)):
            rules.setdefault(rule.chain, []).append(rule)
        count = table.use - len(counters) - len(sets)
        chains = self._chains(name, {*rules, *_led_to(rules.values(), sets)}, count)
        return Content(
            table,
            counters,
            sets,
            tuple((own, tuple(rules.get(own.name, ()))) for own in chains),
        )

    def named(self, table: str, name: str) -> ListedSet | None:
        """A set or map by its name; None when it is not there."""
        asked = packed(1, zero_ended(table)) + packed(2, zero_ended(name))
        found = self._wire.one(entities.GET_SET, asked)
        return None if found is None else self.members(table, entities.read_set(found))

    def members(self, table: str, declared: KernelSet) -> ListedSet:
        """The elements of a set or map."""
        asked = packed(1, zero_ended(table)) + packed(2, zero_ended(declared.name))
        keys: list[bytes] = []
        comments: list[str] = []
        elements: list[KernelElement] = []
        for body in self._wire.listed(entities.GET_ELEMENTS, asked):
            found = columns(body, declared.key_length)
            if found is None:
                elements.extend(read_elements(body, declared.key_length))
                continue
            if found[1]:
                comments += [""] * (len(keys) - len(comments))
            keys += found[0]
            comments += found[1]
        if comments:
            comments += [""] * (len(keys) - len(comments))
        return ListedSet(declared, tuple(keys), tuple(comments), tuple(elements))

    def _chains(self, table: str, names: Iterable[str], count: int) -> list[KernelChain]:
        asked = packed(1, zero_ended(table))
        found = [
            self._wire.one(entities.GET_CHAIN, asked + packed(3, zero_ended(own)))
            for own in sorted(names)
        ]
        bodies = [own for own in found if own is not None]
        if len(bodies) != count:
            bodies = list(self._every_chain(table))
            if len(bodies) < count or self._wire.listed(entities.GET_FLOWTABLE, asked):
                raise RulesetError(f"not of netpolc's making: table {table} has other objects, too")
        # In the order in which they were made: by NFTA_CHAIN_HANDLE.
        ordered = sorted(bodies, key=lambda own: by_type(own).get(2, b""))
        return list(map(entities.read_chain, ordered))

    def _every_chain(self, table: str) -> Iterator[bytes]:
        for body in self._wire.listed(entities.GET_CHAIN):
            if text(by_type(body).get(1, b"")) == table:
                yield body


def _led_to(rules: Iterable[list[KernelRule]], sets: Iterable[ListedSet]) -> Iterator[str]:
    """The chains that rules and maps lead to."""
    for own in rules:
        for rule in own:
            for one in rule.expressions:
                if isinstance(one, Immediate) and one.verdict.chain:
                    yield one.verdict.chain
    for members in sets:
        for element in members.elements:
            if element.verdict is not None and element.verdict.chain:
                yield element.verdict.chain
