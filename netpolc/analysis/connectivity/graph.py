"""Connections as a graph: in Graphviz's DOT language, and as a flowchart of Mermaid.

Comes in: nodes, each with the cluster it is drawn in, and edges between them. Goes out: the text
for `dot` or for Mermaid, the same for the same graph. Nothing is refused: names and labels are
data, never a part of the language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from netpolc.core.foreign import dot_string, mermaid_string


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


def dot(nodes: Iterable[Vertex], edges: Iterable[Edge], title: str = "") -> str:
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
    if title:
        lines.append(f"  graph [label={dot_string(title)}, labelloc=t];")
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


_Labelled = tuple[str, str, tuple[tuple[str, str], ...], list[str]]


def _labelled(edges: Iterable[Edge]) -> list[_Labelled]:
    """Source, destination and style of each arrow, and its labels."""
    labels: dict[tuple[str, str, tuple[tuple[str, str], ...]], list[str]] = {}
    for edge in edges:
        key = edge.source, edge.destination, tuple(sorted(edge.style.items()))
        labels.setdefault(key, []).append(edge.label)
    return [(*key, texts) for key, texts in labels.items()]


def _edges(edges: Iterable[Edge]) -> Iterable[str]:
    for source, destination, style, texts in _labelled(edges):
        attributes = {"label": "\n".join(texts), **dict(style)}
        listed = ", ".join(f"{name}={dot_string(value)}" for name, value in attributes.items())
        yield f"{dot_string(source)} -> {dot_string(destination)} [{listed}]"


_COLOURS = {
    "darkgreen": "stroke:#1f8043",
    "red": "stroke:#cf3f3f,stroke-dasharray:5",
    "orange": "stroke:#b37a00",
}


def mermaid(nodes: Iterable[Vertex], edges: Iterable[Edge], title: str = "") -> str:
    """The same as a flowchart of Mermaid; what `title` says is a note of its own."""
    clusters: dict[str, list[str]] = {}
    numbers: dict[str, str] = {}
    for node in nodes:
        own = numbers[node.name] = f"n{len(numbers)}"
        clusters.setdefault(node.cluster, []).append(f"{own}[{mermaid_string(node.name)}]")
    lines = ["flowchart LR"]
    if title:
        lines.append(f"  note[{mermaid_string(title)}]")
    for number, (name, members) in enumerate(clusters.items()):
        if not name:
            lines += [f"  {member}" for member in members]
            continue
        lines.append(f"  subgraph s{number}[{mermaid_string(name)}]")
        lines += [*(f"    {member}" for member in members), "  end"]
    styles = []
    for number, (source, destination, style, texts) in enumerate(_labelled(edges)):
        label = mermaid_string("\n".join(texts))
        lines.append(f"  {numbers[source]} -->|{label}| {numbers[destination]}")
        colour = _COLOURS.get(dict(style).get("color", ""))
        styles += [f"  linkStyle {number} {colour}"] if colour else []
    return "\n".join([*lines, *styles]) + "\n"
