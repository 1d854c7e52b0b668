"""Port atoms and port sets: ports that no rule tells apart share a number, sets of them a mask.

In: the port ranges of all rules. Out: a table from (protocol, port) to an atom, and sets of atoms
as integers with a bit for each. Atom 0 is what only rules without ports admit: every protocol
without ports, and the ports of TCP, UDP and SCTP that no rule names. Refused: more than 65,536
atoms.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from netpolc.core.errors import UnsupportedError
from netpolc.core.ir import ANY, Any_
from netpolc.core.nets import PORTS, Protocol, Ranges, Span, as_key, split

Indices = NDArray[np.int64]
SLOTS = (Protocol.TCP, Protocol.UDP, Protocol.SCTP)
"""Where the ports of a protocol are in the table, in units of 65,536; the last cell is the rest."""
LIMIT = 1 << 16


class PortAtoms:
    """The atoms of one program."""

    def __init__(self, ranges: Iterable[Ranges | Any_]) -> None:
        distinct = dict.fromkeys(ports for ports in ranges if ports is not ANY)
        spans = [(span, as_key(members)) for span, members in split(distinct)]
        atoms = {as_key(0): 0}
        for _, members in spans:
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
        firsts = [span[0] for span, _ in spans]
        order = np.array([atoms[members] for _, members in spans], dtype=np.int64)
        self._masks = {ports: _mask(ports, firsts, order, self.count) for ports in distinct}

    def mask(self, ports: Ranges | Any_) -> int:
        """The atoms of a rule's ports."""
        return self.everything if ports is ANY else self._masks[ports]


def _mask(ports: Ranges, firsts: list[int], order: Indices, count: int) -> int:
    """The atoms of some ports; `order` are those of all spans, which begin at `firsts`."""
    held = np.zeros(count, dtype=np.uint8)
    for first, last in ports:
        held[order[bisect_left(firsts, first) : bisect_left(firsts, last + 1)]] = 1
    return int.from_bytes(np.packbits(held, bitorder="little").tobytes(), "little")


def _table(spans: Iterable[tuple[Span, bytes]], atoms: dict[bytes, int]) -> NDArray[np.uint16]:
    table = np.zeros(len(SLOTS) * PORTS + 1, dtype=np.uint16)
    slot = {int(protocol) << 16: number * PORTS for number, protocol in enumerate(SLOTS)}
    for (first, last), members in spans:
        at = slot[first & ~(PORTS - 1)] + (first & PORTS - 1)
        table[at : at + last - first + 1] = atoms[members]
    return table
