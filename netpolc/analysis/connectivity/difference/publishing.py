"""What changes of what is published: the ports that an ingress controller may reach.

Comes in: a `Difference`. Goes out: changes from `{ingress}`, a party that is nowhere, each with an
example and the rule that admits, or admitted, the controller. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.connectivity.difference import Cause, Change, Difference, Effect, Example
from netpolc.analysis.connectivity.difference.pairing import Counterparts
from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.table import CONTROLLER
from netpolc.analysis.publication import PublishedPod, PublishedPods
from netpolc.core.ir import Direction
from netpolc.core.nets import Ranges, Span
from netpolc.core.program import Program

_Reached = dict[Span, PublishedPod]
"""What is published of a party and may be reached, by port of its pods."""


class _Side:
    """What one program publishes, by pod."""

    def __init__(self, program: Program) -> None:
        self._publications = PublishedPods(program)
        self._of_pod: dict[str, list[PublishedPod]] = {}
        for own in self._publications.pods:
            if self._publications.may_be_reached(own):
                self._of_pod.setdefault(own.pod.key, []).append(own)

    def reached(self, party: Party) -> _Reached:
        """What is published of the pods of a party."""
        found: _Reached = {}
        for pod in party.pods:
            for own in self._of_pod.get(pod.key, ()):
                found.setdefault(own.span, own)
        return found

    def causes(self, own: PublishedPod, effect: Effect) -> tuple[Cause, ...]:
        """The rules that let the controller in; none where nothing isolates the pod."""
        rules = self._publications.admitting(own) or ()
        return tuple(Cause(Direction.INGRESS, effect, rule.origin) for rule in rules)


def published_changes(difference: Difference) -> Iterator[Change]:
    """The changes of what is published, in order of the workloads."""
    old, new = _Side(difference.old.program), _Side(difference.new.program)
    nowhere = Party(CONTROLLER, "", (), {})
    controller = Counterparts(nowhere, nowhere)
    for pair in difference.pairs:
        before, after = old.reached(pair.old), new.reached(pair.new)
        if before.keys() == after.keys():
            continue
        examples = [
            _example(new, own, Effect.ADMITS) for span, own in after.items() if span not in before
        ][:1] + [
            _example(old, own, Effect.ADMITTED) for span, own in before.items() if span not in after
        ][:1]
        families = tuple(sorted({*pair.old.places, *pair.new.places}))
        ports = Ranges.of(before), Ranges.of(after)
        yield Change(controller, pair, families, *ports, tuple(examples))


def _example(side: _Side, own: PublishedPod, effect: Effect) -> Example:
    ends = CONTROLLER, own.pod.key, int(own.port.protocol), own.number
    return Example(*ends, effect is Effect.ADMITS, side.causes(own, effect))
