"""What it costs to load, change and read a table over netlink: `python -m benches.messages`.

In: numbers of policies on the node of `node_cluster`. Out: rows of CPU time, user and system, of
all processes: messages of our own (`backends/nft/netlink`) against libnftables in its process, one
after the other in either order. Loads encode and count; the text is made before. Needs what
`tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

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
TEN = 10
TIMES = 30
"""So often an element comes and goes a round: once is less than the clock costs."""
LIST = f"list table inet {TABLE}"


def element(
    wire: Wire, names: Sequence[str], verdict: KernelVerdict | None = None
) -> Callable[[], None]:
    """Encodes an element, adds it to sets or maps in one transaction, and deletes it in another."""

    def messages(kind: int, flags: int) -> list[Message]:
        own = KernelElement(writing.on_wire(parse_address(ADDRESS)), verdict=verdict)
        bodies = ((name, body) for name in names for body in write_elements(TABLE, name, [own]))
        return [Message(kind, flags, body, name) for name, body in bodies]

    def there_and_back() -> None:
        for _ in range(TIMES):
            wire.commit(messages(entities.NEW_ELEMENTS, 0x400))
            wire.commit(messages(entities.DELETE_ELEMENTS, 0))

    return there_and_back


def by_nft(session: Session, names: Sequence[str], decides: str = "") -> Callable[[], None]:
    """The same through libnftables."""
    named = [f"element inet {TABLE} {name} {{ {ADDRESS}" for name in names]
    add = "".join(f"add {own}{decides} }}\n" for own in named)
    delete = "".join(f"delete {own} }}\n" for own in named)

    def there_and_back() -> None:
        for _ in range(TIMES):
            for command in (add, delete):
                answer = session.ask(command)
                if answer.code:
                    raise ValueError(answer)

    return there_and_back


def rows(policies: int, rounds: int) -> Iterator[str]:
    """A row a command."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    ruleset = netpolc.compile(netpolc.load_objects(objects)).ruleset(LOCAL_NODE)
    text, table = ruleset.text(), ruleset.marked_table
    entries = (*ruleset.facts, *table.counters, *table.sets, *table.maps, *table.chains)
    sent = Replacement(TABLE, entries)
    chain = next(own.name for own in table.chains if own.name.startswith("i_"))
    sets = [own.name for own in table.sets if own.name.startswith("s4_")][:TEN]
    with Router() as router, router.call(Wire) as wire:
        session = router.call(Session)
        reading = router.call(lambda: LoadedTables(Generation()))
        session.ask(text)
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
                f"one element of a set, added and deleted {TIMES} times",
                element(wire, sets[:1]),
                "libnftables",
                by_nft(session, sets[:1]),
                "<= 0.05",
            ),
            (
                f"the same in {TEN} sets at once",
                element(wire, sets),
                "libnftables",
                by_nft(session, sets),
                "<= 0.1",
            ),
            (
                "the same of one map that leads to chains",
                element(wire, [MAP], KernelVerdict(-4, chain)),
                "libnftables",
                by_nft(session, [MAP], f" : goto {chain}"),
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
