"""Port atoms and port sets: ports that no rule tells apart share a number, sets of them a mask.

In: the port ranges of all rules. Out: a table from (protocol, port) to an atom, and sets of atoms
as integers with a bit for each. Atom 0 is what only rules without ports admit: every protocol
without ports, and the ports of TCP, UDP and SCTP that no rule names. Refused: more than 65,536
atoms.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from netpolc.errors import UnsupportedError
from netpolc.ir import ANY, Any_
from netpolc.nets import PORTS, Protocol, Ranges

SLOTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
"""Where the ports of a protocol are in the table, in units of 65,536; the last cell is the rest."""
LIMIT = 1 << 16


class PortAtoms:
    """The atoms of one program."""

    def __init__(self, ranges: Iterable[Ranges | Any_]) -> None:
        distinct = dict.fromkeys(ports for ports in ranges if ports is not ANY)
        spans = _spans(distinct)
        atoms = {0: 0}
        for _, _, members in spans:
            atoms.setdefault(members, len(atoms))
        if len(atoms) > LIMIT:
            raise UnsupportedError(
                f"{len(atoms)} groups of ports that rules tell apart: the matcher holds {LIMIT}"
            )
        self.count = len(atoms)
        self.everything = (1 << self.count) - 1
        """The set of all atoms."""
        self.table = _table(spans, atoms)
        """uint16: the atom of port `p` of the protocol `SLOTS[i]` at `i << 16 | p`, then atom 0."""
        self._masks: dict[Ranges, int] = dict.fromkeys(distinct, 0)
        numbered = list(distinct)
        for members, atom in atoms.items():
            while members:
                lowest = members & -members
                self._masks[numbered[lowest.bit_length() - 1]] |= 1 << atom
                members ^= lowest

    def mask(self, ports: Ranges | Any_) -> int:
        """The atoms of a rule's ports."""
        return self.everything if ports is ANY else self._masks[ports]


def _spans(distinct: Iterable[Ranges]) -> list[tuple[int, int, int]]:
    """Disjoint spans of the port line, each with the bits of the ranges that hold it."""
    edges: dict[int, int] = {}
    for number, ranges in enumerate(distinct):
        for first, last in ranges:
            edges[first] = edges.get(first, 0) ^ 1 << number
            edges[last + 1] = edges.get(last + 1, 0) ^ 1 << number
    spans = []
    members = start = 0
    for edge in sorted(edges):
        if members:
            spans.append((start, edge, members))
        members ^= edges[edge]
        start = edge
    return spans


def _table(spans: Iterable[tuple[int, int, int]], atoms: dict[int, int]) -> NDArray[np.uint16]:
    table = np.zeros(len(SLOTS) * PORTS + 1, dtype=np.uint16)
    slot = {int(protocol) << 16: number * PORTS for number, protocol in enumerate(SLOTS)}
    for first, end, members in spans:
        at = slot[first & ~(PORTS - 1)] + (first & PORTS - 1)
        table[at : at + end - first] = atoms[members]
    return table
