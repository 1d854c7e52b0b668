"""What it costs that libnftables runs in a process of its own: `python -m benches.process`.

In: numbers of policies on the node of `node_cluster`. Out: rows of CPU time, user and system, of
both processes: the same commands through `Session` and through the binding in this process,
one after the other in either order. Commands: an element that is there already, the listing of the
table, its replacement; and what starting the worker adds to `nft list tables` started as a program.
Needs what `tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

import importlib
import json
import subprocess
from collections.abc import Callable, Iterator

import click

import netpolc
from benches.timing import HEADER, Ratio, timed_whole
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.backends.nft.rollout.libnftables.session import Session
from tests.helpers.lab import Router


def rounds_of(
    subject: Callable[[], object], anchor: Callable[[], object], rounds: int
) -> tuple[tuple[float, float], ...]:
    """CPU seconds of both, in either order."""
    found = []
    for number in range(rounds):
        if number % 2:
            second = timed_whole(anchor)[0]
            found.append((timed_whole(subject)[0], second))
        else:
            first = timed_whole(subject)[0]
            found.append((first, timed_whole(anchor)[0]))
    return tuple(found)


def rows(policies: int, rounds: int) -> Iterator[str]:
    """A row a command."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    text = netpolc.compile(netpolc.load_objects(objects)).ruleset(LOCAL_NODE).text()
    with Router() as router:
        session = router.call(Session)
        here = router.call(lambda: importlib.import_module("nftables").Nftables())
        session.ask(text)
        listed = session.ask("list map inet netpolc in4").output
        element = listed.partition("elements = { ")[2].partition(",")[0]
        commands = {
            "one element": f"add element inet netpolc in4 {{ {element} }}",
            "listing": "list table inet netpolc",
            "replacement": text,
        }
        for name, command in commands.items():
            measured = rounds_of(
                lambda own=command: session.ask(own),  # type: ignore[misc]
                lambda own=command: here.cmd(own),  # type: ignore[misc]
                rounds,
            )
            yield Ratio(f"{policies} policies: {name}", "in this process", measured).row()


def start(rounds: int) -> str:
    """The row of starting it, with the first command."""
    with Router() as router:
        measured = rounds_of(
            lambda: router.call(lambda: Session().ask("list tables")),
            lambda: router.call(lambda: subprocess.run(["nft", "list", "tables"], check=True)),
            rounds,
        )
    return Ratio("starting the worker", "starting `nft`", measured).row()


@click.command()
@click.option("--policies", default="10,800", show_default=True, help="Policies of the node.")
@click.option("--rounds", default=15, show_default=True, help="Rounds of every row.")
def main(policies: str, rounds: int) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    print(start(rounds))
    for count in map(int, policies.split(",")):
        for row in rows(count, rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
