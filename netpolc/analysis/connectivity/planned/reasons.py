"""Why a connection will not be what it is: the rules and policies that decide now.

Comes in: both tables, the Program of the new one, and what moved. Goes out: lines of text. Of the
old policies it is known which isolated, not which rule admitted. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.connectivity.planned.enforced import OTHER, Moved, Replacing
from netpolc.analysis.connectivity.reach import Place, Reach
from netpolc.core.ir import Action, Direction
from netpolc.core.nets import Protocol, Ranges, ports
from netpolc.core.program import Program


class Reasons:
    """What decides in a Program that replaces a table."""

    def __init__(self, tables: Replacing, program: Program) -> None:
        self._tables, self._program, self._reach = tables, program, Reach(program)

    def why(self, found: Moved) -> Iterator[str]:
        """What decides now, in each direction that decides otherwise than before."""
        peer = next(iter(found.peers))[0]
        number = _typical(found.old, found.new)
        both = [(found.direction, found.subject, peer)]
        if peer in self._tables.judged(OTHER[found.direction]):
            both.append((OTHER[found.direction], peer, found.subject))
        for direction, subject, other in both:
            was, will = (
                number in side.admitted(direction, subject, other)
                for side in (self._tables.before, self._tables.after)
            )
            if was != will:
                yield f"{direction} {self._decides(direction, subject, other, number, will)}"

    def _decides(
        self, direction: Direction, subject: int, peer: int, number: int, admits: bool
    ) -> str:
        before = self._tables.before.isolating(direction, subject)
        was = "; was not isolated" if before is None else f"; was isolated by {before}"
        judge = self._reach.judge(direction, self._place(subject))
        if judge is None:
            return f"not isolated{was}"
        admission = self._reach.admission(direction, self._place(subject), self._place(peer))
        ruling = admission.ruling(number)
        if ruling.rules and admits is (ruling.action is Action.ACCEPT):
            origin = ruling.rules[0].origin
            return f"{'admitted' if admits else 'denied'} by {origin.title} ({origin.place()})"
        if admits:
            return "not judged"
        closing = (stage for stage in judge.tiers if stage.default is Action.DENY)
        policies = [own for stage in closing for own in stage.policies]
        now = ", ".join(f"{own} ({own.place()})" for own in policies)
        return f"isolated by {now}{was if before != ', '.join(map(str, policies)) else ''}"

    def _place(self, address: int) -> Place:
        pod = self._program.pods_by_address.get(address)
        identity = None if pod is None else self._program.identity_of[pod.key]
        return self._reach.places.at(identity, address)


def _typical(old: Ranges, new: Ranges) -> int:
    """A port that is judged otherwise, of TCP where there is one."""
    other = (old - new) or (new - old)
    tcp = other & Ranges((ports(Protocol.TCP, 1),))
    return (tcp or other).spans[0][0]
