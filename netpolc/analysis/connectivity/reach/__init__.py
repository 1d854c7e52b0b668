"""Which ports one end may reach at another: the meaning of a Program for whole sets of flows.

Comes in: a `Program`. Goes out: for two *places* the ports that the egress of one and the ingress
of the other admit together, and the rules that do. A place is what rules see of an end: its
identity, and which of their blocks hold its address; ends that agree in both share a place, so the
work follows the number of different ends. places.py numbers them, matching.py finds the rules that
have one as their peer, rulings.py says what these decide.

A pod with itself and with its own node is never judged (semantics, section 5): that depends on two
single ends, and is not looked at here.
"""

from __future__ import annotations

from netpolc.analysis.connectivity.reach.matching import Matching
from netpolc.analysis.connectivity.reach.places import Blocks, Place, Places
from netpolc.analysis.connectivity.reach.rulings import Admission, Ruling, admitted, match_ports
from netpolc.core.ir import Direction
from netpolc.core.nets import EVERY_PORT, Ranges, as_key
from netpolc.core.program import Combination, Program

__all__ = ["Admission", "Blocks", "Place", "Places", "Reach", "Ruling", "match_ports"]
_OPEN = Admission(EVERY_PORT)


class Reach:
    """Answers for one program; what was asked is remembered."""

    def __init__(self, program: Program) -> None:
        self.program, self.places = program, Places(program)
        self._seen = self.places.seen
        self._matching = Matching(self.places.blocks)
        self._admissions: dict[tuple[int, Place], Admission] = {}
        self._equal: dict[tuple[int, tuple[bytes, ...]], Admission] = {}
        self._joined: dict[tuple[int, int], Ranges] = {}
        self._sets: dict[Ranges, Ranges] = {}

    def ports(self, source: Place, destination: Place) -> Ranges:
        """The ports of a destination that a source reaches, on the port line."""
        egress = self.admission(Direction.EGRESS, source, destination)
        ingress = self.admission(Direction.INGRESS, destination, source)
        key = id(egress.ports), id(ingress.ports)  # both are kept, so the numbers stay theirs
        known = self._joined.get(key)
        if known is None:
            known = self._joined[key] = self._same(egress.ports & ingress.ports)
        return known

    def _same(self, ports: Ranges) -> Ranges:
        """One object for equal sets: then they compare and hash by number."""
        return self._sets.setdefault(ports, ports)

    def admission(self, direction: Direction, subject: Place, peer: Place) -> Admission:
        """What one direction of a subject admits from or to a peer."""
        judge = self.judge(direction, subject)
        if judge is None:
            return _OPEN
        key = id(judge), peer
        known = self._admissions.get(key)
        if known is None:
            known = self._admissions[key] = self._judged(judge, *self._seen[peer])
        return known

    def judge(self, direction: Direction, subject: Place) -> Combination | None:
        """What judges a place in a direction; None when nothing does."""
        identity = self._seen[subject][0]
        return None if identity is None else self.program.combination_of.get((direction, identity))

    def _judged(self, judge: Combination, identity: int | None, own: int) -> Admission:
        matching = tuple(self._matching.rules(stage, identity, own) for stage in judge.tiers)
        key = id(judge), tuple(map(as_key, matching))
        known = self._equal.get(key)
        if known is None:
            stages = zip(judge.tiers, matching, strict=True)
            ports = self._same(admitted(stages, self._matching.ports))
            known = self._equal[key] = Admission(ports, judge, matching)
        return known
