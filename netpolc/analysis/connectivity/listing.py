"""Connections in every form: rows of cells, JSON (docs/list.md), a graph.

Comes in: parties and connections, as a `Table` gives them. Goes out: text, or rows for whoever
draws a table. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netpolc.analysis.connectivity import formats, graph
from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.ports import NAMED, describe_ports, spans
from netpolc.analysis.connectivity.table import Connection, Decider, Led
from netpolc.core.foreign import to_json
from netpolc.core.nets import Family, format_address, format_ports, format_span

VERSION = 1
"""Of the JSON document; it changes when a field changes its meaning."""


@dataclass(frozen=True, slots=True, eq=False)
class Connections:
    """What is shown: parties, also those without a connection, and connections between them; with
    `because` also the rules that decide about each.
    """

    parties: Sequence[Party]
    connections: Sequence[Connection]
    because: Mapping[Connection, Sequence[Decider]] | None = None
    led: Mapping[Connection, Sequence[Led]] = field(default_factory=dict)
    """Services that lead to some."""

    @property
    def columns(self) -> Sequence[str]:
        """What `rows` gives."""
        return COLUMNS if self.because is None else (*COLUMNS, "because of")


def rows(listing: Connections) -> Iterator[Sequence[str]]:
    """Source, destination, families and ports of each connection, and why if that is known."""
    for found in listing.connections:
        families = "+".join(map(_family, found.families))
        ends = found.source.name, found.destination.name
        row = *ends, families, describe_ports(found.ports)
        if listing.because is None:
            yield row
        else:
            yield *row, "; ".join(map(str, listing.because[found]))


COLUMNS = ("source", "destination", "families", "connection")


def readable(listing: Connections) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Columns and rows for people: families only where there is a difference, Services only where
    one leads anywhere.
    """
    found: list[Sequence[str]] = list(rows(listing))
    columns = listing.columns
    if listing.led:
        columns = (*columns[:4], "by Service", *columns[4:])
        led = ("; ".join(map(str, listing.led.get(own, ()))) for own in listing.connections)
        found = [(*row[:4], own, *row[4:]) for row, own in zip(found, led, strict=True)]
    if len({row[2] for row in found}) > 1:
        return columns, found
    return (*columns[:2], *columns[3:]), [(*row[:2], *row[3:]) for row in found]


def as_csv(listing: Connections) -> str:
    """CSV, always with the same columns."""
    return formats.csv(listing.columns, rows(listing))


def as_markdown(listing: Connections) -> str:
    """A Markdown table."""
    return formats.markdown(*readable(listing))


def as_json(listing: Connections) -> str:
    """The document of docs/list.md, a party and a connection a line."""
    parties = ",".join(f"\n    {to_json(_party(party))}" for party in listing.parties)
    because = listing.because or {}
    found = ",".join(
        f"\n    {to_json(_connection(own, because.get(own), listing.led.get(own, ())))}"
        for own in listing.connections
    )
    return (
        f'{{\n  "version": {VERSION},\n  "parties": [{parties}\n  ],\n'
        f'  "connections": [{found}\n  ]\n}}\n'
    )


def _party(party: Party) -> dict[str, object]:
    found: dict[str, object] = {"name": party.name, "namespace": _namespace(party) or None}
    if party.is_outside:
        return {**found, "pods": [], "addresses": [format_span(own) for own in party.addresses]}
    addresses = sorted(address for pod in party.pods for address in pod.addresses)
    pods = [pod.key for pod in party.pods]
    return {**found, "pods": pods, "addresses": [format_address(own) for own in addresses]}


def _connection(
    found: Connection, because: Sequence[Decider] | None, led: Sequence[Led]
) -> dict[str, object]:
    told = {} if because is None else {"because": [own.fields for own in because]}
    if led:
        told["services"] = [own.fields for own in led]
    return {
        "source": found.source.name,
        "destination": found.destination.name,
        "families": [_family(version) for version in found.families],
        "connection": describe_ports(found.ports),
        "ports": [format_ports(span) for span in spans(found.ports)],
        "others": bool(found.ports - NAMED),
        **told,
    }


def as_dot(listing: Connections) -> str:
    """A graph: a box a namespace, an arrow a pair; families are named where they differ."""
    nodes = [graph.Vertex(party.name, _namespace(party)) for party in listing.parties]
    return graph.dot(nodes, map(_edge, listing.connections))


def _edge(found: Connection) -> graph.Edge:
    label = describe_ports(found.ports)
    shared = found.source.places.keys() & found.destination.places.keys()
    if shared and shared != set(found.families):  # of a party that is nowhere nothing is shared
        label += f" ({'+'.join(map(_family, found.families))})"
    return graph.Edge(found.source.name, found.destination.name, label)


def _namespace(party: Party) -> str:
    """The namespace of all its pods; "" when there is not one: an identity may be in many."""
    spaces = {pod.namespace for pod in party.pods}
    return spaces.pop() if len(spaces) == 1 else ""


def _family(version: Family) -> str:
    return f"IPv{version}"
