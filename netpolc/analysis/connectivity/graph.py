"""Connections as a graph in Graphviz's DOT language.

Comes in: nodes, each with the cluster it is drawn in, and edges between them. Goes out: the text
for `dot`, the same for the same graph. Nothing is refused: names and labels are data, never DOT.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netpolc.core.foreign import dot_string


@dataclass(frozen=True, slots=True)
class Vertex:
    """An end of edges; nodes of one `cluster` are drawn in one box, those of "" in none."""

    name: str
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two nodes, by name; `style` holds further DOT attributes of it."""

    source: str
    destination: str
    label: str
    style: Mapping[str, str] = field(default_factory=dict)


def dot(nodes: Iterable[Vertex], edges: Iterable[Edge]) -> str:
    """A directed graph; labels of edges between the same nodes with the same style are one edge."""
    clusters: dict[str, list[Vertex]] = {}
    for node in nodes:
        clusters.setdefault(node.cluster, []).append(node)
    lines = [
        "digraph connections {",
        '  graph [rankdir=LR, ranksep=1, fontname="Helvetica"];',
        '  node [shape=box, fontname="Helvetica"];',
        '  edge [fontname="Helvetica", fontsize=10];',
    ]
    for name, members in clusters.items():
        named = [f"{dot_string(node.name)};" for node in members]
        if not name:
            lines += [f"  {line}" for line in named]
            continue
        lines += [
            f"  subgraph {dot_string(f'cluster_{name}')} {{",
            f"    label={dot_string(name)};",
        ]
        lines += [*(f"    {line}" for line in named), "  }"]
    lines += [f"  {line};" for line in _edges(edges)]
    return "\n".join([*lines, "}"]) + "\n"


def _edges(edges: Iterable[Edge]) -> Iterable[str]:
    labels: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[str]] = {}
    for edge in edges:
        key = edge.source, edge.destination, tuple(sorted(edge.style.items()))
        labels.setdefault(key, []).append(edge.label)
    for (source, destination, style), texts in labels.items():
        attributes = {"label": "\n".join(texts), **dict(style)}
        listed = ", ".join(f"{name}={dot_string(value)}" for name, value in attributes.items())
        yield f"{dot_string(source)} -> {dot_string(destination)} [{listed}]"
