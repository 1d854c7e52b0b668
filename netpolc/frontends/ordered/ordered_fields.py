"""Fields that all cluster-scoped policies have, read with the messages of an API server's schemas.

Comes in: plain values and their paths. Goes out: selectors, numbers and ports; a `Dialect` says how
a kind writes the rest. Refused: what the CRDs of policy.networking.k8s.io refuse.

Source: apis/v1alpha1, v1alpha2 and v1beta1 of kubernetes-sigs/network-policy-api, and the messages
of apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from netpolc.core.errors import DOUBTED, ObjectProblems, Path
from netpolc.core.ir import (
    SELECT_ALL,
    Action,
    NamedPort,
    PodPeer,
    Port,
    Selector,
    Tier,
)
from netpolc.core.nets import PORTS, Protocol
from netpolc.frontends.fields import Fields, invalid, quoted, usual_selector
from netpolc.frontends.policies import SPEC, port_name_problems

GROUP = "policy.networking.k8s.io"
LAST_PRIORITY = 1000
"""Priorities are 0 to 1000; the lowest number is asked first."""
BEFORE_ALL = -1
"""The priority of what stands for a policy whose rank cannot be read: no other rule of its tier may
accept or pass first what it may deny.
"""
PODS = ("namespaces", "pods")
"""Fields of subjects and peers that select pods."""
GONE = {
    "sameLabels": "gone after v0.1.1: write a policy for each value of the labels, with namespaces "
    "in subject and peer that select by it",
    "notSameLabels": "gone after v0.1.1: write a policy for each value of the labels, with a "
    "matchExpressions of operator NotIn in the peer",
    "namespaceSelector": "write its matchLabels and matchExpressions right below namespaces",
    "podSelector": "write pods, as in {pods: {namespaceSelector: {}, podSelector: {}}}",
    "ipBlock": "write networks, as in {networks: [10.0.0.0/8]}",
}
"""What to write instead of fields that v0.1.1 had, and of those of NetworkPolicy."""
_SUBJECT = SPEC / "subject"


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind writes in one version what all of them mean.

    `rank` reads tier and priority, which are in the fields `ranked`. A list of rules, peers or
    ports holds at most `most`. `port` reads an entry of the rules' field `ports`, in which names of
    ports are in `named_port`. `egress` are the fields of a peer in `to`. Servers store blocks with
    `host_bits` or refuse them, and want `namespaces_given` in `pods` or not. `hints` say what to
    write instead of fields of other versions; `only` is the one name that an object may have.
    """

    rank: Callable[[Fields, dict[str, Any]], tuple[Tier, int]]
    ranked: tuple[str, ...]
    actions: Mapping[str, Action]
    most: int
    ports: str
    named_port: str
    port: Callable[[Fields, object, Path], Iterator[Port]]
    egress: tuple[str, ...]
    host_bits: bool
    namespaces_given: bool
    hints: Mapping[str, str] = field(default_factory=dict)
    only: str = ""

    @property
    def addressed(self) -> tuple[str, ...]:
        """Peers of egress rules that are no pods."""
        return tuple(name for name in self.egress if name not in PODS)


def at_least_one(fields: Fields, count: int, path: Path, what: str) -> bool:
    """Whether there is any; `minItems` and `minProperties` of a schema."""
    if count == 0:
        detail = f"{path} in body should have at least 1 {what}"
        fields.problems.error(path, invalid(0, detail))
    return count > 0


def at_most(fields: Fields, count: int, most: int, path: Path) -> bool:
    """Whether there are not too many; `maxItems` and `maxProperties` of a schema."""
    if count > most:
        noun = "item" if most == 1 else "items"
        fields.problems.error(path, f"Too many: {count}: must have at most {most} {noun}")
    return count <= most


def integer_between(fields: Fields, value: object, path: Path, least: int, most: int) -> int | None:
    """An integer that has to be there, between two others."""
    if value is None:
        fields.problems.error(path, "Required value")
    number = fields.integer(value, path)
    if number is None:
        return None
    if not least <= number <= most:
        bound = f"less than or equal to {most}"
        if number < least:
            bound = f"greater than or equal to {least}"
        fields.problems.error(path, invalid(number, f"{path} in body should be {bound}"))
    return number


def chosen(fields: Fields, value: object, path: Path, supported: Collection[str]) -> str | None:
    """One of some words, which has to be there."""
    if value is None:
        fields.problems.error(path, "Required value")
    text = fields.text(value, path)
    if text is None or text in supported:
        return text
    listed = ", ".join(quoted(own) for own in supported)
    fields.problems.error(path, f"Unsupported value: {quoted(text)}: supported values: {listed}")
    return None


def one_of(
    fields: Fields, value: object, path: Path, known: Collection[str]
) -> tuple[str, Any] | None:
    """The one field that a map has; None after the problem was recorded, where it has another
    number of them. A server drops unknown fields, and those that are null.
    """
    entry = fields.mapping(value, path, known)
    if entry is None:
        return None
    own = {name: entry[name] for name in known if entry.get(name) is not None}
    if fields.strict and not own and any(name not in known for name in entry):
        return None  # the unknown field was told
    if not at_least_one(fields, len(own), path, "properties"):
        return None
    if not at_most(fields, len(own), 1, path):
        return None
    return next(iter(own.items()))


def selector(fields: Fields, value: object, path: Path) -> Selector:
    """A label selector of a custom resource: the server looks at its form alone."""
    expressions = value.get("matchExpressions") if isinstance(value, dict) else None
    lacking = [
        path / "matchExpressions" / number / name
        for number, item in enumerate(expressions if isinstance(expressions, list) else ())
        for name in ("key", "operator")
        if isinstance(item, dict) and item.get(name) is None
    ]
    for at in lacking:
        fields.problems.error(at, "Required value")
    return SELECT_ALL if lacking else fields.selector(value, path)


def by_name(fields: Fields, value: object, path: Path) -> Iterator[Port]:
    """A named port: of each protocol, as only the container's port has one."""
    name = fields.text(value, path)
    if name is None:
        return
    for detail in port_name_problems(name):
        fields.problems.warning(path, f"{invalid(name, detail)}: no pod has it", code=DOUBTED)
    for protocol in Protocol:
        yield NamedPort(protocol, name)


def port_number(fields: Fields, value: object, path: Path) -> int | None:
    """A number of a port."""
    return integer_between(fields, value, path, 1, PORTS - 1)


def usual_peer(entry: object) -> PodPeer | None:
    """What most peers are, pods by labels and nothing wrong with them; else None."""
    if not isinstance(entry, dict) or len(entry) != 1:
        return None
    ((name, value),) = entry.items()
    if name == "namespaces":
        spaces = usual_selector(value)
        return None if spaces is None else PodPeer(spaces, SELECT_ALL)
    if name != "pods" or not isinstance(value, dict) or len(value) != 2:
        return None
    spaces = usual_selector(value.get("namespaceSelector"))
    pods = usual_selector(value.get("podSelector"))
    return None if spaces is None or pods is None else PodPeer(spaces, pods)


@dataclass(frozen=True, slots=True)
class PodFields:
    """Reads what selects pods; the subject of a policy and peers of rules are written alike.

    `problems` are those of the whole object, which take what is wrong with no rule of it.
    """

    fields: Fields
    namespaces_given: bool
    problems: ObjectProblems

    def subject(self, spec: dict[str, Any]) -> PodPeer | None:
        """`spec.subject`; None after the problem was recorded."""
        if spec.get("subject") is None:
            self.fields.problems.error(_SUBJECT, "Required value")
            return None
        found = one_of(self.fields, spec["subject"], _SUBJECT, PODS)
        return None if found is None else self.read(*found, _SUBJECT / found[0])

    def read(self, name: str, value: object, path: Path) -> PodPeer:
        """What `namespaces` or `pods` select."""
        if name == "namespaces":
            return PodPeer(selector(self.fields, value, path), SELECT_ALL)
        known = ("namespaceSelector", "podSelector")
        spaces, pods = map((self.fields.mapping(value, path, known) or {}).get, known)
        if pods is None:
            self.fields.problems.error(path / "podSelector", "Required value")
        if spaces is None and self.namespaces_given:
            self.fields.problems.error(path / "namespaceSelector", "Required value")
        elif spaces is None:
            self.problems.doubt(path, "has no namespaceSelector", "it means every namespace")
        return PodPeer(
            selector(self.fields, spaces, path / "namespaceSelector"),
            selector(self.fields, pods, path / "podSelector"),
        )
