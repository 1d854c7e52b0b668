"""Connections in every form: rows of cells, JSON (docs/list.md), a graph.

Comes in: parties and connections, as a `Table` gives them. Goes out: text, or rows for whoever
draws a table. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from netpolc.analysis.connectivity import formats, graph
from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.ports import NAMED, describe_ports, spans
from netpolc.analysis.connectivity.table import Connection, Decider, Led
from netpolc.core.cluster import Unread, not_judged, unread_kinds
from netpolc.core.foreign import to_json
from netpolc.core.nets import Family, Ranges, format_address, format_ports, format_span

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
    unread: Sequence[Unread] = ()
    """Policies that are not judged, which every form says."""

    pairs: Mapping[Connection, tuple[int, int]] = field(default_factory=dict)
    """Of how many pairs each is, and of how many there are: where namespaces are the ends."""

    @property
    def columns(self) -> Sequence[str]:
        """What `rows` gives."""
        columns = (*COLUMNS, "pairs") if self.pairs else COLUMNS
        return columns if self.because is None else (*columns, "because of")


def by_namespace(listing: Connections, parties: Sequence[Party]) -> Connections:
    """The same with namespaces for their workloads: one connection for all pairs of two namespaces
    that have the same ports. `parties` are all there are, also those that are not listed.
    """
    members: dict[str, list[Party]] = {}
    for party in parties:
        members.setdefault(_place(party), []).append(party)
    spaces = {place: _joined(place, own) for place, own in members.items()}
    counts: dict[tuple[str, str, tuple[Family, ...], Ranges], int] = {}
    for found in listing.connections:
        key = _place(found.source), _place(found.destination), found.families, found.ports
        counts[key] = counts.get(key, 0) + 1
    order = {place: number for number, place in enumerate(sorted(members, key=_by_kind(members)))}
    pairs = {}
    for source, destination, families, ports in sorted(
        counts, key=lambda own: (order[own[0]], order[own[1]])
    ):
        every = len(members[source]) * len(members[destination])
        if source == destination:
            every -= sum(own.is_single for own in members[source])  # each reaches itself
        key = source, destination, families, ports
        made = Connection(spaces[source], spaces[destination], families, ports)
        pairs[made] = counts[key], every
    shown = {_place(party) for party in listing.parties}
    ends = [spaces[place] for place in order if place in shown]
    return Connections(ends, list(pairs), None, unread=listing.unread, pairs=pairs)


def _place(party: Party) -> str:
    """Its namespace; of what is in none its name."""
    return _namespace(party) or party.name


def _by_kind(members: Mapping[str, Sequence[Party]]) -> Callable[[str], tuple[bool, str]]:
    return lambda place: (not _namespace(members[place][0]), place)


def _joined(place: str, parties: Sequence[Party]) -> Party:
    first = parties[0]
    if not _namespace(first):
        return first
    places = {version: own for party in parties for version, own in party.places.items()}
    return Party(place, place, tuple(pod for own in parties for pod in own.pods), places)


def rows(listing: Connections) -> Iterator[Sequence[str]]:
    """Source, destination, families and ports of each connection, and why if that is known."""
    for found in listing.connections:
        families = "+".join(map(_family, found.families))
        ends = found.source.name, found.destination.name
        row: tuple[str, ...] = *ends, families, describe_ports(found.ports)
        if listing.pairs:
            row = *row, "{} of {}".format(*listing.pairs[found])
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
    return formats.csv(listing.columns, rows(listing), not_judged(listing.unread))


def as_markdown(listing: Connections) -> str:
    """A Markdown table."""
    return formats.markdown(*readable(listing), not_judged(listing.unread))


def as_json(listing: Connections) -> str:
    """The document of docs/list.md, a party and a connection a line."""
    parties = ",".join(f"\n    {to_json(_party(party))}" for party in listing.parties)
    because = listing.because or {}
    found = ",".join(
        f"\n    {to_json(_connection(listing, own, because.get(own)))}"
        for own in listing.connections
    )
    return (
        f'{{\n  "version": {VERSION},\n  "parties": [{parties}\n  ],\n'
        f'  "connections": [{found}\n  ]{unread_field(listing.unread)}\n}}\n'
    )


def unread_field(unread: Sequence[Unread]) -> str:
    """The field of a JSON document that says what is not judged, with its comma; empty where there
    is nothing to say.
    """
    return f',\n  "unread": {to_json(unread_kinds(unread))}' if unread else ""


def _party(party: Party) -> dict[str, object]:
    found: dict[str, object] = {"name": party.name, "namespace": _namespace(party) or None}
    if party.is_outside:
        return {**found, "pods": [], "addresses": [format_span(own) for own in party.addresses]}
    addresses = sorted(address for pod in party.pods for address in pod.addresses)
    pods = [pod.key for pod in party.pods]
    return {**found, "pods": pods, "addresses": [format_address(own) for own in addresses]}


def _counted(listing: Connections, own: Connection) -> dict[str, object]:
    if not listing.pairs:
        return {}
    pairs, every = listing.pairs[own]
    return {"pairs": pairs, "of": every}


def _connection(
    listing: Connections, found: Connection, because: Sequence[Decider] | None
) -> dict[str, object]:
    told = {} if because is None else {"because": [own.fields for own in because]}
    led = listing.led.get(found, ())
    if led:
        told["services"] = [own.fields for own in led]
    return {
        "source": found.source.name,
        "destination": found.destination.name,
        "families": [_family(version) for version in found.families],
        "connection": describe_ports(found.ports),
        "ports": [format_ports(span) for span in spans(found.ports)],
        "others": bool(found.ports - NAMED),
        **_counted(listing, found),
        **told,
    }


def as_dot(listing: Connections) -> str:
    """A graph: a box a namespace, an arrow a pair; families are named where they differ."""
    return graph.dot(_vertices(listing), _edges(listing), not_judged(listing.unread))


def as_mermaid(listing: Connections) -> str:
    """The same graph for Mermaid, which GitHub and GitLab draw in Markdown."""
    return graph.mermaid(_vertices(listing), _edges(listing), not_judged(listing.unread))


def _vertices(listing: Connections) -> list[graph.Vertex]:
    boxed = not listing.pairs  # a namespace is no box around itself
    return [
        graph.Vertex(party.name, _namespace(party) if boxed else "") for party in listing.parties
    ]


def _edges(listing: Connections) -> Iterator[graph.Edge]:
    return map(_edge, listing.connections)


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
