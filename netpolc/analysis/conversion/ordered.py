"""AdminNetworkPolicy and BaselineAdminNetworkPolicy as ClusterNetworkPolicy v1alpha2.

Comes in: a manifest that was read without an error. Goes out: the `spec` of a ClusterNetworkPolicy
with the same subject, peers, ports and order. Refused: more rules, peers or ports than that has
room for, and what is not enforced as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netpolc.core.errors import DOUBTED, ROOT, ObjectProblems, Path, Problems
from netpolc.core.ir import Direction
from netpolc.frontends.ordered import adminnetworkpolicy, baselineadminnetworkpolicy
from netpolc.frontends.ordered import clusternetworkpolicy as wanted
from netpolc.frontends.ordered.ordered import lower
from netpolc.frontends.ordered.ordered_fields import LAST_PRIORITY
from netpolc.frontends.policies import SPEC
from netpolc.manifests import Document

_DIALECTS = {
    adminnetworkpolicy.KIND: adminnetworkpolicy.DIALECT,
    baselineadminnetworkpolicy.KIND: baselineadminnetworkpolicy.DIALECT,
}
VERSION = adminnetworkpolicy.VERSION
KINDS = frozenset(_DIALECTS)
"""What is converted of that version."""
_ACTIONS = {"Allow": "Accept"}
_MOST = 25
_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def cluster_policy(
    document: Document, body: Mapping[str, Any], report: ObjectProblems
) -> dict[str, Any]:
    """`spec` of the ClusterNetworkPolicy that means the same; what has no equal is in `report`."""
    _refuse_doubts(document, report)
    spec = body["spec"]
    is_admin = document.kind == adminnetworkpolicy.KIND
    found: dict[str, Any] = {
        "tier": "Admin" if is_admin else "Baseline",
        "priority": spec["priority"] if is_admin else LAST_PRIORITY,
        "subject": spec["subject"],
    }
    for direction in Direction:
        name = str(direction)
        if spec.get(name) is not None:
            rules = _few(spec[name], SPEC / name, report)
            found[name] = [
                _rule(rule, _PEERS[direction], SPEC / name / number, report)
                for number, rule in enumerate(rules)
            ]
    return found


def _refuse_doubts(document: Document, report: ObjectProblems) -> None:
    """What servers store and nobody understands would be something else where it is refused."""
    problems = Problems()
    aside = ObjectProblems(problems, document.source.place)
    lower(document, aside, False, _DIALECTS[document.kind])
    doubts = [own for own in problems.warnings if own.code == DOUBTED]
    if aside.mended:
        text = doubts[0].message if doubts else aside.mended[0]
        place = f" ({doubts[0].place})" if doubts else ""
        report.error(ROOT, f"is not enforced as it is written{place}: {text}")


def _few(values: list[Any], path: Path, report: ObjectProblems) -> list[Any]:
    if len(values) > _MOST:
        text = f"has no equal: {len(values)} entries, {wanted.KIND} has at most {_MOST}"
        report.error(path, f"{text}; split it first")
    return values


def _rule(
    rule: Mapping[str, Any], peers: str, path: Path, report: ObjectProblems
) -> dict[str, Any]:
    found: dict[str, Any] = {} if rule.get("name") is None else {"name": rule["name"]}
    found["action"] = _ACTIONS.get(rule["action"], rule["action"])
    found[peers] = _few(rule[peers], path / peers, report)
    if rule.get("ports") is not None:
        found["protocols"] = list(map(_protocol, _few(rule["ports"], path / "ports", report)))
    return found


def _protocol(port: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `ports` as one of `protocols`."""
    if port.get("namedPort") is not None:
        return {"destinationNamedPort": port["namedPort"]}
    own = port.get("portNumber") or port["portRange"]
    first = own.get("port", own.get("start"))
    last = own.get("end", first)
    numbers: dict[str, Any] = {"number": first}
    if first != last:
        numbers = {"range": {"start": first, "end": last}}
    return {(own.get("protocol") or "TCP").lower(): {"destinationPort": numbers}}
