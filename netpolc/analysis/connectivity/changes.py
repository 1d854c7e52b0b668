"""A difference in every form: lines for people, rows of cells, JSON (docs/diff.md), a graph.

Comes in: a `Difference` and its changes. Goes out: text. Nothing is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netpolc.analysis.connectivity import formats, graph
from netpolc.analysis.connectivity.difference import Change, ChangeKind, Example
from netpolc.analysis.connectivity.difference.pairing import Counterparts
from netpolc.analysis.connectivity.listing import unread_field
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.core.cluster import Unread, not_judged, unread_kinds
from netpolc.core.errors import counted, listing
from netpolc.core.foreign import to_json
from netpolc.core.nets import Family, format_span

VERSION = 1
"""Of the JSON document; it changes when a field changes its meaning."""
COLUMNS = ("change", "source", "destination", "families", "was", "is", "examples", "because of")
SIGNS = {ChangeKind.ADDED: "+", ChangeKind.REMOVED: "-", ChangeKind.CHANGED: "~"}
COLOURS = {ChangeKind.ADDED: "green", ChangeKind.REMOVED: "red", ChangeKind.CHANGED: "yellow"}
_NONE = "no difference"
_FOLDED = 50
"""Rows of the table below a summary: comments of GitHub have 65,536 characters."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """What is shown: changes, and the workloads only one snapshot has."""

    changes: Sequence[Change]
    new_workloads: Sequence[str]
    lost_workloads: Sequence[str]
    unread: Sequence[Unread] = ()
    """Policies of both snapshots that are not judged, which every form says."""
    unread_changed: Sequence[Unread] = ()
    """Those that only one snapshot has, or that say something else in the other."""

    @property
    def remark(self) -> str:
        """What is not judged, and how many of it differ; empty where everything is."""
        told = not_judged(self.unread)
        if not self.unread_changed:
            return told
        many = len({(own.kind, own.name) for own in self.unread_changed})
        return f"{told}; {many} of them differ, and what that changes is not known"

    def __bool__(self) -> bool:
        return bool(self.changes or self.new_workloads or self.lost_workloads)


def lines(found: Changes) -> Iterator[tuple[str, str]]:
    """Each line with its colour: a change, then the examples and why."""
    if not found:
        yield _none(found), ""
        if found.remark:
            yield found.remark, "yellow"
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
    if found.remark:
        yield found.remark, "yellow"
    yield summary(found), "bold"


def _none(found: Changes) -> str:
    return f"{_NONE} in what is judged" if found.remark else _NONE


def summary(found: Changes) -> str:
    """How much of what."""
    counts = [sum(change.kind is kind for change in found.changes) for kind in ChangeKind]
    parts = [f"{count} {kind}" for count, kind in zip(counts, ChangeKind, strict=True)]
    workloads = f"{len(found.new_workloads)} new, {len(found.lost_workloads)} lost"
    return f"connections: {', '.join(parts)}; workloads: {workloads}"


def _only(change: Change) -> str:
    """The families, where the two ends share another that did not change; `{ingress}` has none."""
    shared = {
        version
        for source, destination in (
            (change.source.old, change.destination.old),
            (change.source.new, change.destination.new),
        )
        for version in source.places.keys() & destination.places.keys()
    }
    return "" if not shared or shared == set(change.families) else f" ({_families(change)})"


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
    return formats.csv(COLUMNS, _rows(found), found.remark)


def as_markdown(found: Changes) -> str:
    """A table with a summary, as a comment on a pull request; a sentence when nothing changed."""
    if not found:
        return f"{formats.markdown_note(found.remark)}{_none(found)}\n"
    return f"{formats.markdown(COLUMNS, _rows(found), found.remark)}\n{summary(found)}\n"


def as_summary(found: Changes) -> str:
    """What a reviewer of a pull request reads first, in Markdown: how much of what, then a line
    for each pair of namespaces, what it opens before what it closes; the table is folded.
    """
    note = formats.markdown_note(found.remark)
    if not found:
        return f"### Network policies: {_none(found)}\n\n{note}".rstrip("\n") + "\n"
    heading = f"### Network policies: {summary(found)}\n\n"
    lines = [f"- {line}\n" for line in _between_namespaces(found)]
    rows = list(_rows(found))
    more = f"\nand {counted(len(rows) - _FOLDED, 'more row')}\n" if len(rows) > _FOLDED else ""
    table = formats.markdown(COLUMNS, rows[:_FOLDED]) + more
    folded = "\n<details><summary>Every change, with the reason</summary>"
    return f"{heading}{note}{''.join(lines)}{folded}\n\n{table}\n</details>\n"


def _between_namespaces(found: Changes) -> Iterator[str]:
    """A line for each pair of namespaces and way it changed."""
    counts: dict[tuple[bool, str, str], Counter[str]] = {}
    for change in found.changes:
        source, destination = (
            formats.markdown_code(_place(own)) for own in (change.source, change.destination)
        )
        for ports, opens in ((change.new - change.old, True), (change.old - change.new, False)):
            if ports:
                key = not opens, source, destination
                counts.setdefault(key, Counter())[describe_ports(ports)] += 1
    for (closes, source, destination), seen in sorted(counts.items()):
        does = "closes" if closes else "**opens**"
        pairs = counted(sum(seen.values()), "pair")
        listed = formats.markdown_code(listing(seen, limit=4))
        yield f"{does} {source} → {destination}: {listed} ({pairs} of workloads)"


def _place(pair: Counterparts) -> str:
    """The namespace of a workload, a range as it is."""
    return pair.new.namespace or pair.old.namespace or pair.name


def as_json(found: Changes) -> str:
    """The document of docs/diff.md, a change a line."""
    changes = ",".join(f"\n    {to_json(_change(change))}" for change in found.changes)
    workloads = {"new": list(found.new_workloads), "lost": list(found.lost_workloads)}
    return (
        f'{{\n  "version": {VERSION},\n  "workloads": {to_json(workloads)},\n'
        f'  "changes": [{changes}\n  ]{unread_field(found.unread)}{_changed_field(found)}\n}}\n'
    )


def _changed_field(found: Changes) -> str:
    if not found.unread_changed:
        return ""
    return f',\n  "unread_changed": {to_json(unread_kinds(set(found.unread_changed)))}'


def _change(change: Change) -> dict[str, object]:
    return {
        "change": change.kind,
        "source": change.source.name,
        "destination": change.destination.name,
        **_addresses("source_addresses", change.source),
        **_addresses("destination_addresses", change.destination),
        "families": [f"IPv{version}" for version in change.families],
        "was": describe_ports(change.old),
        "is": describe_ports(change.new),
        "examples": [_example(example, change.families[0]) for example in change.examples],
    }


def _addresses(name: str, pair: Counterparts) -> dict[str, list[str]]:
    """Those of a range; no field of a workload."""
    ranges = (pair.new if pair.new.is_outside else pair.old).addresses
    return {name: [format_span(span) for span in ranges]} if ranges else {}


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
    return graph.dot(*_graph(found), found.remark)


def as_mermaid(found: Changes) -> str:
    """The same graph for Mermaid; the signs of lines say what is new, gone or changed."""
    return graph.mermaid(*_graph(found, signed=True), found.remark)


def _graph(found: Changes, *, signed: bool = False) -> tuple[list[graph.Vertex], list[graph.Edge]]:
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
        ports = " => ".join(describe_ports(own) for own in (change.old, change.new) if own)
        label = f"{SIGNS[change.kind]} {ports}" if signed else ports
        style = styles[change.kind]
        edges.append(
            graph.Edge(change.source.name, change.destination.name, label + _only(change), style)
        )
    return list(nodes.values()), edges
