"""The published conformance expectations, as Python values.

In: the JSON-lines files of ``data/`` (their origins and licences are in its README).
Out: a ``State`` a step for the flow suites, a ``ValidationCase`` a policy for the validation suite.
Refused: a name that is not a file there (``FileNotFoundError``), a flow of a pod that the state
does not hold (``KeyError``).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

DATA = Path(__file__).parent / "data"
E2E = "k8s-e2e-netpol.jsonl"
CYCLONUS = "cyclonus.jsonl.gz"
CLUSTER = "clusternetworkpolicy.jsonl.gz"
VALIDATION = "networkpolicy-validation.jsonl"

Manifest = dict[str, Any]


class NamedFlow(NamedTuple):
    """A flow between two pods, each ``namespace/name``, and whether it must be allowed."""

    source: str
    destination: str
    protocol: str
    port: int
    allowed: bool


class AddressedFlow(NamedTuple):
    """The same between two addresses of one family."""

    source: str
    destination: str
    protocol: str
    port: int
    allowed: bool


@dataclass(frozen=True, slots=True)
class State:
    """A cluster at one step of a case, and the flows expected of it."""

    case: str
    step: int
    objects: list[Manifest]
    flows: list[NamedFlow]

    def addresses(self) -> dict[str, list[str]]:
        """Every pod's addresses, by ``namespace/name``."""
        return {
            f"{pod['metadata']['namespace']}/{pod['metadata']['name']}": [
                entry["ip"] for entry in pod["status"]["podIPs"]
            ]
            for pod in self.objects
            if pod["kind"] == "Pod"
        }

    def addressed(self) -> Iterator[AddressedFlow]:
        """The flows by address: each pair of addresses that share a family."""
        addresses = self.addresses()
        for flow in self.flows:
            for source in addresses[flow.source]:
                for destination in addresses[flow.destination]:
                    if (":" in source) == (":" in destination):
                        yield AddressedFlow(source, destination, *flow[2:])


@dataclass(frozen=True, slots=True)
class ValidationCase:
    """A policy and what the API server says of it; ``strict_cidr`` tells its CIDR gate."""

    name: str
    policy: Manifest
    valid: bool
    errors: list[str]
    strict_cidr: bool


def load(name: str) -> Iterator[State]:
    """The states of a flow suite (``E2E``, ``CYCLONUS`` or ``CLUSTER``), in file order."""
    for line in _lines(name):
        flows = [NamedFlow(*flow) for flow in line.pop("flows")]
        if name == CLUSTER:
            line["objects"] = list(map(_unscheduled, line["objects"]))
        yield State(flows=flows, **line)


def _unscheduled(manifest: Manifest) -> Manifest:
    """A pod that nobody knows the node of; other objects as they are.

    That suite's clusters say where pods run, its expectations do not depend on it: a flow from a
    pod to its own node is expected to be judged as one to any node, and would not be here.
    """
    if manifest["kind"] != "Pod":
        return manifest
    spec = {name: value for name, value in manifest["spec"].items() if name != "nodeName"}
    own = ("hostIP", "hostIPs")
    status = {name: value for name, value in manifest["status"].items() if name not in own}
    return {**manifest, "spec": spec, "status": status}


def load_validation() -> Iterator[ValidationCase]:
    """The policies of the validation suite, in file order."""
    for line in _lines(VALIDATION):
        yield ValidationCase(**line)


def _lines(name: str) -> Iterator[dict[str, Any]]:
    opened = gzip.open if name.endswith(".gz") else open
    with opened(DATA / name, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)
