"""What a packet pays for the ways to write a chain, and which is the cheapest.

Comes in: counts of a chain. Goes out: a layout. The figures are nanoseconds on the machine of
BENCHMARKS.md, where `python -m benches.dataplane --parts` prints them; only their proportions
matter. Nothing is refused: every layout means the same.
"""

from __future__ import annotations

from enum import Enum

COMPARISON = 16
"""A rule whose inline port or single address does not match."""
RANGE = 28
"""A rule whose inline range of ports does not match."""
BLOCK = 45
"""A rule whose inline block of addresses does not match."""
NETWORK_SET = 145
"""A lookup in a set of blocks, whatever their number (pipapo)."""
JUMP = 16
"""A jump to a chain and the return from it."""
PORT_MAP = 82
"""A lookup of protocol and port in a hash, and the jump."""
PORT_RANGE_MAP = 172
"""The same in a map with ranges (pipapo)."""

ASKED = 0.75
"""The part of a row of comparisons that a packet meets: half if one matches, else all."""


class PortLayout(Enum):
    """How a packet finds the peers admitted on its port."""

    INLINE = "port and peer in one rule"
    JUMPS = "a comparison for each port range, which jumps to a chain of peers"
    MAP = "a hash of single ports; ranges are compared inline"
    RANGE_MAP = "one map with ranges"


def port_layout(rules: int, spans: int, singles: int, ranges: int) -> PortLayout:
    """The cheapest layout, the simplest of equal ones.

    `rules` are those that inline ports would need, `spans` the port ranges as written, which may
    overlap, `singles` and `ranges` the disjoint ones.
    """
    costs = {
        PortLayout.INLINE: ASKED * COMPARISON * rules,
        PortLayout.JUMPS: ASKED * COMPARISON * spans + JUMP,
        PortLayout.MAP: PORT_MAP + ASKED * RANGE * ranges,
        PortLayout.RANGE_MAP: PORT_RANGE_MAP,
    }
    if not ranges:
        del costs[PortLayout.RANGE_MAP]
    if not singles:
        del costs[PortLayout.MAP]
    return min(costs, key=lambda layout: costs[layout])


def inline_blocks(count: int) -> bool:
    """Whether comparing some blocks one after the other is cheaper than a set of them."""
    return ASKED * BLOCK * count <= NETWORK_SET
