"""Recommended policies in the place of those that select the same pods, as a patch.

Comes in: a recommendation, and the snapshot with the files it was read from. Goes out: a `Merge`:
the lines of a unified difference, and the proof of what the snapshot would be with it. Policies
that say the same already stay as they are, as do those that select other pods. What cannot be
edited (JSON, objects made by a chart) is told and left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import unified_diff
from typing import Any

from yaml.nodes import MappingNode, Node, SequenceNode

from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.foreign import inert
from netpolc.core.ir import Policy, Tier
from netpolc.core.labels import selects
from netpolc.flows.recommendation.needs import NeededPolicy
from netpolc.flows.recommendation.proving import FlowProof, prove_flows
from netpolc.flows.recommendation.recommended import Recommendation, read_back
from netpolc.flows.recommendation.writing import document, spec
from netpolc.frontends.odd import same_meaning
from netpolc.manifests import ManifestSource
from netpolc.manifests.syntax import SyntaxProblem, decoded
from netpolc.manifests.yaml.pyyaml_format import roots
from netpolc.manifests.yaml.yaml_format import documents

NEW_FILE = "recommended.yaml"


class NotMergeable(Exception):
    """A policy whose text cannot be changed; the reason in words."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What to change: `patch` for `patch -p0`, policies that could not be, and the proof."""

    patch: tuple[str, ...]
    left: tuple[str, ...]
    proof: FlowProof


def merged_policies(snapshot: Snapshot, found: Recommendation) -> Merge:
    """Bring recommended policies into the files of a snapshot."""
    merger = _Merger(snapshot, found)
    for policy in found.policies:
        merger.add(policy)
    after = replace(snapshot, policies=tuple(merger.policies.values()))
    proof = prove_flows(after, found.flows, found.groups)
    return Merge(tuple(merger.patch()), tuple(merger.left), proof)


class _Merger:
    """Files while they are edited."""

    def __init__(self, snapshot: Snapshot, found: Recommendation) -> None:
        self._snapshot, self._found = snapshot, found
        self._before: dict[str, str] = {}
        self._after: dict[str, str] = {}
        self._new: list[str] = []
        self.left: list[str] = []
        self.policies = {own.origin.key: own for own in snapshot.policies}

    def add(self, policy: NeededPolicy) -> None:
        """One policy: in the place of another, or new."""
        old = self._alike(policy)
        name = self._found.names[policy] if old is None else old.origin.name
        text = document(policy, name)
        (own,) = read_back(text)
        if old is not None and same_meaning(old, own):
            return
        try:
            if old is None:
                self._new.append(text)
            else:
                self._edit(old, policy)
        except NotMergeable as problem:
            self.left.append(f"{policy.group}: not merged: {problem}")
            return
        self.policies[own.origin.key] = own

    def patch(self) -> Iterator[str]:
        """The lines of the difference."""
        for name, text in sorted(self._after.items()):
            yield from _difference(self._before[name], text, name, name)
        if self._new:
            yield from _difference("", "---\n".join(self._new), "/dev/null", NEW_FILE)

    def _alike(self, policy: NeededPolicy) -> Policy | None:
        """The first NetworkPolicy that selects just these pods."""
        group = policy.group
        wanted = {pod.key for pod in group.pods}
        pods = [own for own in self._snapshot.cluster.pods if own.namespace == group.namespace]
        found = [
            own
            for own in self._snapshot.policies
            if own.tier is Tier.NETWORK_POLICY
            and own.origin.kind == "NetworkPolicy"
            and own.origin.namespace == group.namespace
            and not own.audited
            and {pod.key for pod in pods if _means(own, pod)} == wanted
        ]
        return min(found, key=lambda own: own.origin.name, default=None)

    def _edit(self, old: Policy, policy: NeededPolicy) -> None:
        source = old.origin.source
        if not isinstance(source, ManifestSource) or source.is_json or source.file.trace:
            raise NotMergeable(f"{old.origin.place()}: it is not in a file of YAML")
        name = source.file.name
        try:
            text = self._after.get(name) or decoded(source.file.read())
            self._after[name] = _with_spec(text, source, policy)
        except (OSError, SyntaxProblem) as error:
            raise NotMergeable(f"{name}: {error}") from None
        self._before.setdefault(name, text)


def _means(policy: Policy, pod: Pod) -> bool:
    return not (pod.host_network or pod.closed) and selects(policy.subject.pods, pod.labels)


def _difference(old: str, new: str, name: str, new_name: str) -> Iterator[str]:
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    for line in unified_diff(before, after, name, new_name):
        yield inert(line.rstrip("\r\n"))


def _with_spec(text: str, source: ManifestSource, policy: NeededPolicy) -> str:
    """The text with another `spec` in one of its documents, which keeps its `podSelector`."""
    before = [found.plain for found in documents(text.encode())]
    own = _part(before[source.document], source.at)
    subject = own["spec"].get("podSelector") or {}
    lines = text.splitlines(keepends=True)
    first, last, column = _lines_of_spec(roots(text)[source.document], source.at, lines)
    new = spec(policy, subject)
    lines[first : last + 1] = [f"{' ' * column}{line}" for line in new.splitlines(keepends=True)]
    changed = "".join(lines)
    (wanted,) = (found.plain for found in documents(new.encode()))
    own["spec"] = wanted["spec"]
    if [found.plain for found in documents(changed.encode())] != before:
        raise NotMergeable(f"{source.place()}: its text cannot be taken apart")
    return changed


def _part(value: Any, elements: Sequence[str | int]) -> Any:
    for element in elements:
        value = value[element]
    return value


def _lines_of_spec(
    root: Node, elements: Sequence[str | int], lines: Sequence[str]
) -> tuple[int, int, int]:
    """Its first and last line, and the column where it begins."""
    node = root
    for element in elements:
        node = _keys(node)[element][1]
    key, value = _keys(node)["spec"]
    line, column = key.start_mark.line, key.start_mark.column
    if lines[line][:column].strip() or not isinstance(value, MappingNode) or value.flow_style:
        raise NotMergeable(f"line {line + 1}: spec is not on lines of its own")
    last = min(value.end_mark.line, len(lines)) - 1
    while last > line and _is_around(lines[last], column):
        last -= 1
    return line, last, column


def _keys(node: Node) -> Mapping[Any, tuple[Node, Node]]:
    """The entries of a map or a list, each with its key (of a list the entry itself)."""
    if isinstance(node, SequenceNode):
        return {at: (own, own) for at, own in enumerate(node.value)}
    assert isinstance(node, MappingNode)
    return {key.value: (key, value) for key, value in node.value}


def _is_around(line: str, column: int) -> bool:
    """Whether a line is blank, or a comment about what follows."""
    text = line.strip()
    indent = len(line) - len(line.lstrip(" "))
    return not text or (text.startswith("#") and indent <= column)
