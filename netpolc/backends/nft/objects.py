"""Objects of a table as nft words them: what is written, what is listed, and what is compared.

Comes in: from `write` what a table shall hold, from `readback` what one holds. Goes out: `Written`
values, and texts of them. Only elements and the matches of rules are words here; what an object is
called, how much fits in it, what it refers to and which marks its rules give to flows are data, so
that nobody has to look for them in text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct, structs

from netpolc.backends.nft import wording
from netpolc.backends.nft.model import FlowMark, MarkFlow

Kind = Literal["counter", "set", "map", "chain"]
Mark = FlowMark | MarkFlow


def key(kind: Kind, name: str) -> str:
    """What an object is known by: sets and chains may have one name."""
    return f"{kind} {name}"


@dataclass(frozen=True, slots=True)
class MarkingRule:
    """A rule that compares or sets marks of flows: nft's words, and between them the marks."""

    parts: tuple[str | Mark, ...]

    def __str__(self) -> str:
        return " ".join(own if isinstance(own, str) else _mark(own) for own in self.parts)

    def remarked(self, mask: int, before: int, after: int) -> MarkingRule:
        """The same rule with another value where these bits have one."""
        return MarkingRule(
            tuple(
                structs.replace(own, value=after)
                if not isinstance(own, str) and (own.mask, own.value) == (mask, before)
                else own
                for own in self.parts
            )
        )


def _mark(own: Mark) -> str:
    if isinstance(own, FlowMark):
        return wording.compared_mark(own.mask, own.value)
    return wording.set_mark(own.kept, own.value)


Rule = str | MarkingRule
"""A rule in nft's words; most have no marks and are nothing but text."""


class Written(Struct, frozen=True, gc=False):
    """An object of a table.

    `head` says what it is in nft's words, apart from the `comment` of a counter and the `size` of a
    set or map: how many elements fit, None where nothing is said, as for intervals. `refers` are
    the keys of the objects that its rules or elements use, so none of them can go before it.
    """

    kind: Kind
    name: str
    head: tuple[str, ...] = ()
    size: int | None = None
    elements: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    comment: str | None = None
    refers: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """Its kind and name."""
        return f"{self.kind} {self.name}"

    @property
    def opening(self) -> tuple[str, ...]:
        """All that is said of it before its elements or rules."""
        if self.size is not None:
            return (*self.head[:1], f"size {self.size}", *self.head[1:])
        return self.head if self.comment is None else (f'comment "{self.comment}"', *self.head)

    def block(self) -> str:
        """The object with its elements or rules, as it stands in a table."""
        lines = "".join(f"\t\t{line}\n" for line in (*self.opening, *self.rules))
        if self.elements:
            listed = ",\n\t\t\t".join(self.elements)
            lines += f"\t\telements = {{\n\t\t\t{listed}\n\t\t}}\n"
        return f"\t{self.kind} {self.name} {{\n{lines}\t}}\n"

    @property
    def lines(self) -> int:
        """How many lines `block` has, about: what the kernel and libnftables have to do for it."""
        said = len(self.head) + (self.size is not None) + (self.comment is not None)
        return 2 + said + len(self.elements) + len(self.rules)

    def remarked(self, mask: int, before: int, after: int) -> Written:
        """The same object with another value of the flow's mark, if its rules have this one."""
        if all(isinstance(own, str) for own in self.rules):
            return self
        rules = (
            own if isinstance(own, str) else own.remarked(mask, before, after) for own in self.rules
        )
        return structs.replace(self, rules=tuple(rules))


Objects = Mapping[str, Written]
"""By their keys, as `index` makes it."""


def index(objects: Iterable[Written]) -> dict[str, Written]:
    """Objects by their keys."""
    return {entry.key: entry for entry in objects}


MOST_CHAINS = 16
"""So many chains may follow one another, the base chain included: `NFT_JUMP_STACK_SIZE` of
net/netfilter/nf_tables.h. The kernel refuses more (EMLINK), which no check of `nft -c` tells.
"""


def longest_row(objects: Iterable[Written]) -> tuple[str, ...]:
    """The chains of the longest row in which each can lead to the next."""
    known = {own.key: own for own in objects}
    rows: dict[str, tuple[str, ...]] = {}

    def row(key: str) -> tuple[str, ...]:
        if key not in rows:
            own = known[key]
            leads = (other for other in own.refers if other.startswith(("chain ", "map ")))
            below = max(map(row, sorted(leads)), key=len, default=())
            rows[key] = (own.name, *below) if own.kind == "chain" else below
        return rows[key]

    return max(map(row, known), key=len, default=())
