"""A difference in every form: lines for people, rows of cells, JSON (docs/diff.md), a graph.

Comes in: a `Difference` and its changes. Goes out: text. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netpolc.analysis.connectivity import formats, graph
from netpolc.analysis.connectivity.difference import Change, ChangeKind, Example
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.core.foreign import to_json
from netpolc.core.nets import Family

VERSION = 1
"""Of the JSON document; it changes when a field changes its meaning."""
COLUMNS = ("change", "source", "destination", "families", "was", "is", "examples", "because of")
SIGNS = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}
COLOURS = {ChangeKind.ADDED: "green", ChangeKind.REMOVED: "red", ChangeKind.CHANGED: "yellow"}
_NONE = "no difference"


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What is shown: changes, and the workloads only one snapshot has."""

    changes: Sequence[Change]
    new_workloads: Sequence[str]
    lost_workloads: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.changes or self.new_workloads or self.lost_workloads)


def lines(found: Changes) -> Iterator[tuple[str, str]]:
    """Each line with its colour: a change, then the examples and why."""
    if not found:
        yield _NONE, ""
        return
    for sign, names, kind in (
        ("+", found.new_workloads, ChangeKind.ADDED),
        ("-", found.lost_workloads, ChangeKind.REMOVED),
    ):
        for name in names:
            yield f"{sign} workload {name}", COLOURS[kind]
    for change in found.changes:
        ports = " => ".join(describe_ports(own) for own in (change.old, change.new) if own)
        ends = f"{change.source.name} -> {change.destination.name}"
        yield f"{SIGNS[change.kind]} {ends}: {ports}{_only(change)}", COLOURS[change.kind]
        for example in change.examples:
            yield f"    {example}", ""
            for cause in example.causes:
                yield f"      {cause}", ""
    yield summary(found), "bold"


def summary(found: Changes) -> str:
    """How much of what."""
    counts = [sum(change.kind is kind for change in found.changes) for kind in ChangeKind]
    parts = [f"{count} {kind}" for count, kind in zip(counts, ChangeKind, strict=True)]
    workloads = f"{len(found.new_workloads)} new, {len(found.lost_workloads)} lost"
    return f"connections: {', '.join(parts)}; workloads: {workloads}"


def _only(change: Change) -> str:
    """The families, where the two ends share another that did not change."""
    shared = {
        version
        for source, destination in (
            (change.source.old, change.destination.old),
            (change.source.new, change.destination.new),
        )
        for version in source.places.keys() & destination.places.keys()
    }
    return "" if shared == set(change.families) else f" ({_families(change)})"


def _families(change: Change) -> str:
    return "+".join(f"IPv{version}" for version in change.families)


def _rows(found: Changes) -> Iterator[tuple[str, ...]]:
    for change in found.changes:
        yield (
            change.kind,
            change.source.name,
            change.destination.name,
            _families(change),
            describe_ports(change.old),
            describe_ports(change.new),
            "; ".join(map(str, change.examples)),
            "; ".join(str(cause) for example in change.examples for cause in example.causes),
        )
    for kind, names in (
        ("workload added", found.new_workloads),
        ("workload removed", found.lost_workloads),
    ):
        for name in names:
            yield (kind, name, *[""] * (len(COLUMNS) - 2))


def as_csv(found: Changes) -> str:
    """CSV; only the line of headers when nothing changed."""
    return formats.csv(COLUMNS, _rows(found))


def as_markdown(found: Changes) -> str:
    """A table with a summary, as a comment on a pull request; a sentence when nothing changed."""
    if not found:
        return f"{_NONE}\n"
    return f"{formats.markdown(COLUMNS, _rows(found))}\n{summary(found)}\n"


def as_json(found: Changes) -> str:
    """The document of docs/diff.md, a change a line."""
    changes = ",".join(f"\n    {to_json(_change(change))}" for change in found.changes)
    workloads = {"new": list(found.new_workloads), "lost": list(found.lost_workloads)}
    return (
        f'{{\n  "version": {VERSION},\n  "workloads": {to_json(workloads)},\n'
        f'  "changes": [{changes}\n  ]\n}}\n'
    )


def _change(change: Change) -> dict[str, object]:
    return {
        "change": change.kind,
        "source": change.source.name,
        "destination": change.destination.name,
        "families": [f"IPv{version}" for version in change.families],
        "was": describe_ports(change.old),
        "is": describe_ports(change.new),
        "examples": [_example(example, change.families[0]) for example in change.examples],
    }


def _example(example: Example, version: Family) -> dict[str, object]:
    return {
        "allowed": example.allowed,
        "family": f"IPv{version}",
        "source": example.source,
        "destination": example.destination,
        "protocol": example.protocol,
        "port": example.port,
        "causes": [
            {
                "direction": str(cause.direction),
                "effect": cause.effect,
                "policy": cause.origin.policy,
                "rule": cause.origin.rule,
                **({"name": cause.origin.called} if cause.origin.called else {}),
                "place": cause.origin.place(),
            }
            for cause in example.causes
        ],
    }


def as_dot(found: Changes) -> str:
    """A graph of what changed: green is new, red is gone (dashed), orange is not what it was."""
    nodes: dict[str, graph.Vertex] = {}
    edges = []
    styles = {
        ChangeKind.ADDED: {"color": "darkgreen"},
        ChangeKind.REMOVED: {"color": "red", "style": "dashed"},
        ChangeKind.CHANGED: {"color": "orange"},
    }
    for change in found.changes:
        for pair in (change.source, change.destination):
            nodes.setdefault(pair.name, graph.Vertex(pair.name, pair.new.namespace))
        label = " => ".join(describe_ports(own) for own in (change.old, change.new) if own)
        style = styles[change.kind]
        edges.append(
            graph.Edge(change.source.name, change.destination.name, label + _only(change), style)
        )
    return graph.dot(nodes.values(), edges)
