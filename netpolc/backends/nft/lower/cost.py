"""What a packet pays for the ways to write a chain, and which is the cheapest.

Comes in: counts of a chain. Goes out: a layout. The figures are nanoseconds on the machine of
BENCHMARKS.md, where `python -m benches.dataplane --parts` prints them; only their proportions
matter. Nothing is refused: every layout means the same.
"""

from __future__ import annotations

from enum import Enum

COMPARISON = 16
"""A rule whose inline port or single address does not match."""
RANGE = 34
"""A rule whose inline range of ports does not match."""
BLOCK = 45
"""A rule whose inline block of addresses does not match."""
NETWORK_SET = 145
"""A lookup in a set of blocks, whatever their number (pipapo)."""
JUMP = 16
"""A jump to a chain and the return from it."""
ADDRESS_SET = 64
"""A lookup in a set of addresses, whatever their number (hash)."""
PORT_MAP = 82
"""A lookup of protocol and port in a hash, and the jump."""
PORT_RANGE_MAP = 172
"""The same in a map with ranges (pipapo)."""

SET_ELEMENT = 1.75
"""Loading an address in a set, in microseconds."""
MAP_ELEMENT = 2.85
"""Loading an address with a jump to a chain."""
RULE = 16.0
"""Loading a rule of a chain."""

ALWAYS_COPIED = 64
"""Rules that a map of ports may always take, however few were written."""

ASKED = 0.75
"""The part of a row of comparisons that a packet meets: half if one matches, else all."""


class PortLayout(Enum):
    """How a packet finds the chain of the peers admitted on its port."""

    JUMPS = "a comparison for each port range, which jumps to a chain of peers"
    MAP = "a hash of single ports; ranges are compared inline"
    RANGE_MAP = "one map with ranges"


def inline_ports(rules: int, spans: int) -> bool:
    """Whether port and peer in one rule are cheapest, so that no chain of peers is needed.

    `rules` are those that takes, `spans` the ranges of ports as written, which may overlap.
    """
    return ASKED * COMPARISON * rules <= min(_jumps(spans), PORT_MAP)


def port_layout(spans: int, singles: int, ranges: int) -> PortLayout:
    """The cheapest layout; `singles` and `ranges` are disjoint, `spans` may overlap."""
    costs = {PortLayout.JUMPS: _jumps(spans)}
    if singles:
        costs[PortLayout.MAP] = PORT_MAP + ASKED * RANGE * ranges
    if ranges:
        costs[PortLayout.RANGE_MAP] = PORT_RANGE_MAP
    return min(costs, key=lambda layout: costs[layout])


def most_copies(rules: int) -> int:
    """How many rules for peers the maps of ports may take where `rules` would do as written.

    Ranges of many rules that overlap cut each other into parts, each with the peers of all rules
    around it, which grows with their number squared. Past this bound ranges are compared one after
    the other: packets then pay for each of them, but only those of the pods these rules are for.
    """
    return 2 * rules + ALWAYS_COPIED


def _jumps(spans: int) -> float:
    return ASKED * COMPARISON * spans + JUMP


def inline_blocks(count: int) -> bool:
    """Whether comparing some blocks one after the other is cheaper than a set of them."""
    return ASKED * BLOCK * count <= NETWORK_SET


def source_map(everybody: int, looked_up: float, rules: int) -> bool:
    """Whether to look pods up in one map of `everybody`, by the chain of their ports.

    A packet then pays one lookup instead of one for each set. But the map belongs to one chain
    alone, where sets are shared: so with the `rules` of its chains it has to load faster than the
    `looked_up` pods of the sets, of which each set counts in part where others use it as well.
    """
    return MAP_ELEMENT * everybody + RULE * rules < SET_ELEMENT * looked_up


FEW_RULES = 16
"""An ordered tier with more rules than these is never asked one after the other, if there is room
for its maps."""
MAPPED = 3 << 18
"""The `size` that maps from pods have together at most, of all ordered tiers of a node: a quarter
more than their elements. Two seconds of loading, some 30 MB of text.
"""


def linear(asked: float, blocks: bool) -> bool:
    """Whether an ordered tier is cheaper rule by rule, at a cost of `asked` if none matches, than
    by maps from peers to what they meet, one of which has blocks if the rules do.
    """
    return asked <= PORT_MAP + (PORT_RANGE_MAP if blocks else 0)


def mappable(size: int, lists: int) -> bool:
    """Whether one of some lists of ordered tiers may have maps of this `size`.

    Each list has the same share. Whoever has many lists has a map of nearly all pods for each, and
    a packet meets few of them: rule by rule lists share the sets of their peers.
    """
    return size * lists <= MAPPED
