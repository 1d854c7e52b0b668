"""What it costs to load, change and read a table over netlink: `python -m benches.messages`.

In: numbers of policies on the node of `node_cluster`. Out: rows of CPU time, user and system, of
all processes: messages of our own (`backends/nft/netlink`) against libnftables in its process, one
after the other in either order. Loads encode and count; the text is made before. Needs what
`tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import click

import netpolc
from benches.process import rounds_of
from benches.timing import HEADER, Ratio
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.backends.nft.netlink import entities, writing
from netpolc.backends.nft.netlink.elements import write_elements
from netpolc.backends.nft.netlink.entities import KernelElement
from netpolc.backends.nft.netlink.expressions import KernelVerdict
from netpolc.backends.nft.netlink.replacement import Replacement, replace_table
from netpolc.backends.nft.netlink.wire import Message, Wire
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.rollout.libnftables.session import Session
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.core.nets import parse_address
from tests.helpers.lab import Router

TABLE, MAP, ADDRESS = "netpolc", "in4", "203.0.113.77"
TIMES = 30
"""So often an element comes and goes a round: once is less than the clock costs."""
LIST = f"list table inet {TABLE}"


def element(wire: Wire, chain: str) -> Callable[[], None]:
    """Adds an element to a map, and deletes it."""
    own = KernelElement(writing.on_wire(parse_address(ADDRESS)), verdict=KernelVerdict(-4, chain))
    (body,) = write_elements(TABLE, MAP, [own])
    add = Message(entities.NEW_ELEMENTS, 0x400, body, MAP)
    delete = Message(entities.DELETE_ELEMENTS, 0, body, MAP)

    def there_and_back() -> None:
        for _ in range(TIMES):
            wire.commit([add])
            wire.commit([delete])

    return there_and_back


def rows(policies: int, rounds: int) -> Iterator[str]:
    """A row a command."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    ruleset = netpolc.compile(netpolc.load_objects(objects)).ruleset(LOCAL_NODE)
    text, table = ruleset.text(), ruleset.marked_table
    entries = (*ruleset.facts, *table.counters, *table.sets, *table.maps, *table.chains)
    sent = Replacement(TABLE, entries)
    chain = next(own.name for own in table.chains if own.name.startswith("i_"))
    with Router() as router, router.call(Wire) as wire:
        session = router.call(Session)
        reading = router.call(lambda: LoadedTables(Generation()))
        session.ask(text)
        named = f"element inet {TABLE} {MAP} {{ {ADDRESS}"

        def by_nft() -> None:
            for _ in range(TIMES):
                for command in (f"add {named} : goto {chain} }}\n", f"delete {named} }}\n"):
                    answer = session.ask(command)
                    if answer.code:
                        raise ValueError(answer)

        title = f"{policies} policies"
        pairs: list[tuple[str, Callable[[], object], str, Callable[[], object], str]] = [
            (
                "load, same layout",
                lambda: replace_table(wire, sent),
                "text through libnftables",
                lambda: session.ask(text),
                "<= 0.5",
            ),
            (
                f"one element, added and deleted {TIMES} times",
                element(wire, chain),
                "libnftables",
                by_nft,
                "<= 0.05",
            ),
            (
                "reading it back as objects",
                lambda: reading.objects(TABLE),
                "listing and parsing it",
                lambda: parse_listing(
                    session.ask(LIST, stateless=True, numeric=True).output, TABLE
                ),
                "",
            ),
        ]
        for name, own, anchor, other, target in pairs:
            yield Ratio(f"{title}: {name}", anchor, rounds_of(own, other, rounds), target).row()


@click.command()
@click.option("--policies", default="120,800", show_default=True, help="Policies of the node.")
@click.option("--rounds", default=9, show_default=True, help="Rounds of every row.")
def main(policies: str, rounds: int) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    for count in map(int, policies.split(",")):
        for row in rows(count, rounds):
            print(row, flush=True)


if __name__ == "__main__":
    main()
