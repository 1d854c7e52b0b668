"""What a team expects of its policies: which flows must be allowed or denied.

Comes in from `frontends.expectations`, one value for each entry of an `Expectations` object; goes
to `expectations`, which finds the flows that are meant and asks the matcher.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from netpolc.core.ir import Origin
from netpolc.core.nets import Ranges
from netpolc.core.patterns import like


class Demand(StrEnum):
    """What is asked of the flows of an expectation."""

    ALLOW = "allow"
    DENY = "deny"
    ONLY_FROM = "reachable-only-from"
    ONLY_TO = "reaches-only"


@dataclass(frozen=True, slots=True)
class Named:
    """Workloads and pods by name; `*` is any text and `?` any character, `kind` empty any kind."""

    namespace: str
    name: str
    kind: str = ""

    def matches(self, namespace: str, pod: str, workload: str) -> bool:
        """Whether a pod is meant, by its own name or by its workload's, `name[Kind]`."""
        if not like(self.namespace).fullmatch(namespace):
            return False
        stem, _, kind = workload.removesuffix("]").rpartition("[")
        if self.kind and self.kind != kind:
            return False
        return any(map(like(self.name).fullmatch, (stem, pod)))

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" + (f"[{self.kind}]" if self.kind else "")


End = Named | Ranges
"""One end of flows; ranges are addresses that are no pod's, a single address may be a pod's."""


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """One entry: flows from any of the sources to any of the destinations on any of the ports.

    For `ONLY_FROM` the sources are those that may, for `ONLY_TO` the destinations; everybody else
    must be denied. `title` is what reports call it.
    """

    title: str
    demand: Demand
    sources: tuple[End, ...]
    destinations: tuple[End, ...]
    ports: Ranges
    origin: Origin
