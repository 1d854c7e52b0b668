"""`netpolc list`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from shutil import get_terminal_size

import click

from netpolc.analysis.connectivity import Connection, Grouping, Party, Table
from netpolc.analysis.connectivity.exposure import expose
from netpolc.analysis.connectivity.forms import LISTINGS
from netpolc.analysis.connectivity.listing import Connections, as_dot, by_namespace, readable
from netpolc.analysis.connectivity.newcomers import with_newcomers
from netpolc.analysis.connectivity.selection import parties_of, port_ranges, select
from netpolc.analysis.connectivity.table import deciders, from_controllers, led_by
from netpolc.analysis.report import report
from netpolc.cli import completion, options
from netpolc.cli.output import write
from netpolc.cli.parameters import PortType, output
from netpolc.cli.review.graphviz import svg
from netpolc.cli.terminal import is_terminal, plain_table, progress, say, table, warn
from netpolc.compiler import compile
from netpolc.core.cluster import not_judged
from netpolc.core.errors import UsageError
from netpolc.core.foreign import inert
from netpolc.core.ir import Direction
from netpolc.core.nets import Protocol


def _written(listing: Connections, form: str) -> str:
    """What is printed, or written to a file."""
    if form == "table":
        told = not_judged(listing.unread)
        return plain_table(*readable(listing)) + (f"{inert(told)}\n" if told else "")
    return svg(as_dot(listing)) if form == "svg" else LISTINGS[form](listing)


_NAMESPACE = "namespace"
_AROUND = 6
"""Lines of a screen that rows leave to a table's head, to what follows it, and to the prompt."""


@click.command("list")
@options.optional_paths
@output(
    lambda: ("table", *LISTINGS, "svg", "html"),
    "table",
    "The form; svg needs Graphviz, html is a page with filters of its own.",
)
@click.option(
    "--workload",
    "workloads",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.complete_workloads,
    help="Only connections of these: web, shop/web, shop/*, 'shop/web[Deployment]'.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    shell_complete=completion.complete_namespaces,
    help="Only connections of workloads in these; * and ? match anything.",
)
@click.option(
    "--direction",
    type=click.Choice([str(own) for own in Direction]),
    help="Only those into (ingress) or out of (egress) the workloads asked for.",
)
@click.option(
    "--port",
    type=PortType(),
    metavar="PORT",
    help="Only those that admit it: 80 of any protocol, TCP/80 or 80/tcp.",
)
@click.option(
    "--group",
    type=click.Choice([*map(str, Grouping), _NAMESPACE]),
    default=str(Grouping.WORKLOAD),
    show_default=True,
    help="One row a workload, one for all pods that no policy tells apart, or one for each pair of "
    "namespaces and ports.",
)
@click.option(
    "--exposure", is_flag=True, help="What pods that do not exist yet could reach or be reached by."
)
@click.option("--why", is_flag=True, help="Name the rules that decide about each connection.")
@options.configured_reading
@options.cluster()
def list_(
    paths: tuple[str, ...],
    form: str,
    file: str | None,
    workloads: tuple[str, ...],
    namespaces: tuple[str, ...],
    direction: str | None,
    port: tuple[Protocol | None, int] | None,
    group: str,
    exposure: bool,
    why: bool,
    reading: options.Reading,
) -> None:
    """List who can reach whom, and on which ports.

    Addresses outside the cluster are ranges, split where policies split them. What is not listed is
    denied. hostNetwork pods are their node, whose addresses are addresses like any other.

    \b
    Examples:
      netpolc list cluster/
      netpolc list cluster/ --workload shop/db --direction ingress
      netpolc list cluster/ --namespace shop --port TCP/443 -o csv --file shop.csv
      netpolc list cluster/ --exposure --workload shop/db --direction ingress
      netpolc list cluster/ --why --workload shop/db -o md
      netpolc list cluster/ --group namespace -o mermaid
      netpolc list cluster/ --group identity -o svg --file cluster.svg
      netpolc list cluster/ -o html --file cluster.html
      netpolc list --context prod --namespace shop
    """
    if group == _NAMESPACE and (form == "html" or why or exposure):
        raise UsageError("--group namespace goes without --why, --exposure and -o html")
    grouping = Grouping.WORKLOAD if group == _NAMESPACE else Grouping(group)
    if form == "html":
        if workloads or namespaces or direction or port or exposure or why:
            raise UsageError("-o html has its own filters: only --group and --file go with it")
        write(_page(paths, grouping, reading), file)
        return
    wanted_port = port_ranges(*port) if port is not None else None
    wanted_way = Direction[direction.upper()] if direction is not None else None
    snapshot = reading.snapshot(paths)
    with progress("listing") as done:
        if exposure:
            new = with_newcomers(snapshot)
            exposed = expose(compile(new.snapshot), new.pods, grouping, done)
            parties, connections = exposed.parties, exposed.connections
            sides, reach = exposed.newcomers, exposed.reach
        else:
            found = Table(compile(snapshot), grouping)
            published = list(from_controllers(found))
            parties = [*found.parties, *{own.source: None for own in published}]
            connections = [*found.connections(done), *published]
            sides, reach = found.workloads, found.reach
    if workloads or namespaces:
        sides = parties_of(parties, snapshot.cluster, workloads, namespaces)
    if exposure:
        _say_closed(set(sides) & set(exposed.newcomers), connections)
    listed = list(select(connections, sides, wanted_way, wanted_port))
    shown = {*sides, *_ends(listed)}
    because = {own: list(deciders(reach, own)) for own in listed} if why else None
    ends = [party for party in parties if party in shown]
    listing = Connections(ends, listed, because, led_by(snapshot.cluster, listed), snapshot.unread)
    if group == _NAMESPACE:
        listing = by_namespace(listing, parties)
    if form == "table" and file is None:
        _show(*readable(listing))
        if listing.unread:
            say(not_judged(listing.unread), "yellow")
    else:
        write(_written(listing, form), file)


def _show(columns: Sequence[str], rows: list[Sequence[str]]) -> None:
    """Print a table; on a terminal no more than a screenful, and how to see more."""
    most = get_terminal_size().lines - _AROUND
    if not is_terminal() or len(rows) <= max(most, _AROUND):
        table(columns, rows)
        return
    table(columns, rows[:most])
    say(f"{len(rows) - most} more rows: | less shows all, --group namespace fewer,", "yellow")
    say("--namespace, --workload and --port some, -o html --file FILE is a page", "yellow")


def _page(paths: tuple[str, ...], grouping: Grouping, reading: options.Reading) -> str:
    """The report of everything, with the reasons."""
    found = Table(compile(reading.snapshot(paths)), grouping)
    with progress("listing") as done:
        return report(found, " ".join(paths), done)


def _ends(connections: Iterable[Connection]) -> set[Party]:
    return {end for own in connections for end in (own.source, own.destination)}


def _say_closed(newcomers: set[Party], connections: Iterable[Connection]) -> None:
    """Name those without any connection: a list without them would read as if any pod's held."""
    closed = newcomers - _ends(connections)
    for name in sorted(party.name for party in closed):
        warn(f"no connection: {name}")
