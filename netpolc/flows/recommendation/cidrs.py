"""Addresses as few CIDR blocks.

Comes in: spans of addresses, and how many blocks there may be. Goes out: blocks that hold them:
exactly, where that needs no more; else those are joined that have the longest prefix in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from netpolc.core.nets import Family, Ranges, Span


def as_cidrs(addresses: Iterable[Span], most: int) -> tuple[Span, ...]:
    """At most so many blocks of each family, in order."""
    ranges = Ranges.of(addresses)
    found: list[Span] = []
    for version in Family:
        exact = [block for span in ranges.of_family(version) for block in _exact(span)]
        found += exact if len(exact) <= most else _joined(exact, most)
    return tuple(found)


def _exact(span: Span) -> Iterator[Span]:
    """The blocks that a span is made of."""
    first, last = span
    while first <= last:
        size = first & -first or 1 << 128
        while first + size - 1 > last:
            size >>= 1
        yield first, first + size - 1
        first += size


def _joined(blocks: Sequence[Span], most: int) -> Iterator[Span]:
    """Cut where neighbours have the least in common; what is left between two cuts is one block.

    Of two neighbours that differ from the same bit on, each lies in a block of its own: so the
    blocks never overlap.
    """
    apart = [
        ((one[0] ^ other[1]).bit_length(), -at)
        for at, (one, other) in enumerate(pairwise(blocks), start=1)
    ]
    cuts = sorted(-at for _, at in sorted(apart, reverse=True)[: most - 1])
    for begin, end in zip([0, *cuts], [*cuts, len(blocks)], strict=True):
        bits = (blocks[begin][0] ^ blocks[end - 1][1]).bit_length()
        first = blocks[begin][0] >> bits << bits
        yield first, first + (1 << bits) - 1
