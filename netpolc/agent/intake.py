"""Events of the API server -> the objects that the agent knows.

Comes in: events, with when they came. Goes out: `Live` as they leave it, and when that is to be
applied. An event that says nothing of any object is told, and passed over.
"""

from __future__ import annotations

from collections.abc import Iterable

from netpolc.agent.inbox import Arrived
from netpolc.agent.pace import Batch
from netpolc.agent.telling.report import Report
from netpolc.apiserver import Absent, Changed, Ended, Event, Gone, Listed, Trouble
from netpolc.core.errors import NetpolcError, SystemRefusal
from netpolc.live import KINDS, Live


class Intake:
    """Takes events; `kinds` are what must have been listed, or be absent, before all is known."""

    def __init__(self, live: Live, report: Report, kinds: Iterable[str]) -> None:
        self.live, self.batch = live, Batch()
        self._report, self._missing = report, set(kinds)
        self.own_node = False
        """Whether the object of the own node may have changed, since somebody said no."""
        report.missing(self._missing)

    @property
    def synced(self) -> bool:
        """Whether all that has to be known was told."""
        return not self._missing

    def take(self, arrived: Iterable[Arrived]) -> None:
        """Take events in order; `SystemRefusal` once a kind is followed no more."""
        for moment, event in arrived:
            if isinstance(event, Ended):
                raise SystemRefusal(f"nobody follows {event.kind} any more: start the agent again")
            if not isinstance(event, Trouble) and event.kind not in KINDS:
                continue
            try:
                known = self._known(event)
            except NetpolcError as error:  # no object of any kind: no server would send it
                self._report.refused_event(event.kind, str(error))
                continue
            if known:
                self._missing.discard(event.kind)
                self._report.missing(self._missing)
                self.batch.add(moment)

    def _known(self, event: Event) -> bool:
        """Whether an event says something of objects."""
        self._report.event(event)
        match event:
            case Listed():
                self.live.replace(event.kind, event.documents)
            case Absent():
                self.live.replace(event.kind, ())
            case Changed():
                self.live.change(event.document)
                self.own_node |= event.kind == "Node" and _name(event) == self.live.node
            case Gone():
                self.live.remove(event.kind, event.namespace, event.name)
            case Trouble() | Ended():
                return False
        return True


def _name(event: Changed) -> object:
    return event.document["metadata"]["name"]  # a document that was taken has one
