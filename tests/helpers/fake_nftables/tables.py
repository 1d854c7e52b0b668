"""What tables hold, and how often each object is referred to.

An object that is referred to cannot be deleted: chains by rules that lead there and by elements of
maps, sets and counters by rules. Chains, counters, and sets with maps have names of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from tests.helpers.fake_nftables.commands import Hook, SetType
from tests.helpers.fake_nftables.rules import Rule
from tests.helpers.fake_nftables.values import Element

Reference = tuple[str, str]
"""`chain`, `set` or `counter`, and a name."""


@dataclass(slots=True)
class Chain:
    """A chain with its rules; a base chain has a hook."""

    hook: Hook | None
    rules: list[Rule] = field(default_factory=list)


@dataclass(slots=True)
class Set:
    """A set or map; elements by their lowest corner, in the order in which they came."""

    type: SetType
    declared: str
    size: int
    elements: dict[tuple[int, ...], Element] = field(default_factory=dict)

    def containing(self, point: tuple[int, ...]) -> list[Element]:
        """The elements in which a lookup could end; several only where ranges enclose others."""
        if not self.type.interval:
            found = self.elements.get(point)
            return [found] if found is not None else []
        place = point[0]
        near = (own for own in self.elements.values() if own.first <= place <= own.last)
        return [own for own in near if own.holds(point)]


@dataclass(slots=True)
class Table:
    """One table; `updated` says that this transaction has put it to sleep or woken it."""

    comment: str | None
    dormant: bool = False
    updated: bool = False
    chains: dict[str, Chain] = field(default_factory=dict)
    sets: dict[str, Set] = field(default_factory=dict)
    counters: dict[str, str | None] = field(default_factory=dict)
    uses: Counter[Reference] = field(default_factory=Counter)

    def copy(self) -> Table:
        """What a transaction may change; rules and elements themselves never do."""
        return replace(
            self,
            updated=False,
            chains={name: Chain(own.hook, own.rules.copy()) for name, own in self.chains.items()},
            sets={
                name: replace(own, elements=own.elements.copy()) for name, own in self.sets.items()
            },
            counters=self.counters.copy(),
            uses=self.uses.copy(),
        )

    def put(self, chain: Chain, rule: Rule, first: bool) -> None:
        """Add a rule."""
        self.uses.update(referred(rule))
        chain.rules.insert(0 if first else len(chain.rules), rule)

    def empty(self, chain: Chain) -> None:
        """Delete every rule of a chain."""
        for own in chain.rules:
            self.uses.subtract(referred(own))
        chain.rules.clear()

    def add(self, found: Set, element: Element) -> None:
        """Add an element."""
        self.uses.update(_leads_to([element]))
        found.elements[element.start] = element

    def remove(self, found: Set, elements: Iterable[Element]) -> None:
        """Delete elements."""
        for own in list(elements):
            self.uses.subtract(_leads_to([own]))
            del found.elements[own.start]

    def targets(self, rule: Rule) -> Iterator[str]:
        """The chains that a rule leads to, by itself and by what it looks up."""
        yield from rule.chains
        for lookup in rule.lookups:
            yield from (name for _, name in _leads_to(self.sets[lookup.name].elements.values()))


def referred(rule: Rule) -> Iterator[Reference]:
    """What has to stay for as long as a rule does."""
    yield from (("chain", name) for name in rule.chains)
    yield from (("set", lookup.name) for lookup in rule.lookups)
    yield from (("counter", name) for name in rule.counters)


def _leads_to(elements: Iterable[Element]) -> Iterator[Reference]:
    for own in elements:
        if own.verdict is not None and own.verdict.chain:
            yield "chain", own.verdict.chain
