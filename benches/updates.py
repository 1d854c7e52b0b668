"""Changing what is loaded, against replacing it: `python -m benches.updates`.

In: numbers of policies on the node of `node_cluster`, 10,000 pods. Out: rows of CPU time, user and
system, of netpolc and of the process that runs libnftables: `Kernel.update` by a delta and
`Kernel.load`, both from rulesets whose text and digest are there already (5 ms at 800 policies, the
same for both); and, as a second anchor, starting the program `nft` to add one element. The delta of
a pod elsewhere also against the same by text through libnftables, and, of a process that listens
for its table, beside a program that changes its own before every delta. Refused: a
change that does not go as a delta. Needs what `tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

import copy
import json
import resource
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import click

import netpolc
from benches.timing import HEADER, Ratio, timed_whole
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.backends.nft import Ruleset
from netpolc.backends.nft.model import AddressSet, SetMatch, Table
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.loader import Via
from netpolc.backends.nft.rollout.netfilter.monitor import Heard, Monitor
from tests.helpers.lab import Router

Manifest = dict[str, Any]
TARGET = "<= 0.05"
FOREIGN = "add table inet other; add chain inet other c; delete table inet other"


def changes(objects: list[Manifest]) -> dict[str, list[Manifest]]:
    """The cluster after each of some small changes, all of which matter to the node."""
    table = netpolc.compile(netpolc.load_objects(objects)).ruleset(LOCAL_NODE).table
    peers = {at for own in table.sets if isinstance(own, AddressSet) for at in own.elements}
    pods = [o for o in objects if _runs(o)]
    own = next(o for o in pods if o["spec"]["nodeName"] == LOCAL_NODE)
    other = next(
        o for o in pods if o["spec"]["nodeName"] != LOCAL_NODE and o["status"]["podIP"] in peers
    )
    pair = _most_asked(table, 2)
    one = next(o for o in pods if o["status"]["podIP"] in pair)
    relabelled = copy.deepcopy(other)
    relabelled["metadata"]["labels"] = {"app": "renamed"}
    rule = next(o for o in reversed(objects) if o["kind"] == "NetworkPolicy")
    edited = copy.deepcopy(rule)
    edited["spec"] |= {"policyTypes": ["Ingress"], "ingress": [{"ports": [{"port": 1234}]}]}
    return {
        "a pod elsewhere": [o for o in objects if o is not other],
        "a pod of the node": [o for o in objects if o is not own],
        "one of two pods that most chains ask for": [o for o in objects if o is not one],
        "a pod relabelled": [relabelled if o is other else o for o in objects],
        "a policy changed": [edited if o is rule else o for o in objects],
    }


def _most_asked(table: Table, count: int) -> tuple[str, ...]:
    """Of the sets of so many addresses the one that most rules look up."""
    uses = Counter(
        match.name
        for chain in table.chains
        for rule in chain.rules
        for match in rule.matches
        if isinstance(match, SetMatch)
    )
    sets = [own for own in table.sets if isinstance(own, AddressSet) and len(own.elements) == count]
    return max(sets, key=lambda own: uses[own.name]).elements


def _runs(item: Manifest) -> bool:
    status = item.get("status", {})
    return (
        item["kind"] == "Pod"
        and status.get("phase") == "Running"
        and "podIP" in status
        and not item["spec"].get("hostNetwork")
    )


class Node:
    """A node with its table loaded, and rulesets before and after a change."""

    def __init__(
        self,
        router: Router,
        before: list[Manifest],
        after: list[Manifest],
        via: Via = Via.NETLINK,
        *,
        listens: bool = False,
    ) -> None:
        self._router = router
        self._kernel = router.call(lambda: Kernel(via=via))
        if listens:
            self._kernel.hear(Heard(router.call(lambda: Monitor("netpolc"))))
        self._programs = [netpolc.compile(netpolc.load_objects(o)) for o in (before, after)]
        self._kernel.load(self._ruleset(0))

    def _ruleset(self, number: int) -> Ruleset:
        """A new one, written out."""
        ruleset = self._programs[number].ruleset(LOCAL_NODE)
        ruleset.text()
        return ruleset

    def there_and_back(self, foreign: str = "") -> float:
        """CPU seconds of one delta: the mean of the change and of taking it back; others run the
        `foreign` commands before each.
        """
        seconds = 0.0
        for number in (1, 0):
            ruleset = self._ruleset(number)
            if foreign:
                self._router.run("nft", foreign)
            spent, update = timed_whole(partial(self._kernel.update, ruleset))
            if not update.delta:
                raise ValueError(f"not a delta: {update}")
            seconds += spent / 2
        return seconds

    def replace(self) -> float:
        """CPU seconds of a replacement."""
        ruleset = self._ruleset(0)
        return timed_whole(lambda: self._kernel.load(ruleset))[0]


def program_seconds(router: Router) -> float:
    """CPU seconds of `nft` adding an element that is there already."""
    listed = router.run("nft", "list", "map", "inet", "netpolc", "in4")
    element = listed.partition("elements = { ")[2].partition(",")[0]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["nft", f"add element inet netpolc in4 {{ {element} }}"]
    router.call(lambda: subprocess.run(command, check=True))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def rows(policies: int, rounds: int) -> Iterator[str]:
    """Two rows a change: against a replacement and against starting `nft`."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    for name, after in changes(objects).items():
        with Router() as router:
            node = Node(router, objects, after)
            measured = []
            for _ in range(rounds):
                whole = node.replace()
                node.there_and_back()  # while the kernel still frees the table that was replaced
                measured.append((node.there_and_back(), whole, program_seconds(router)))
        title = f"{policies} policies: {name}"
        target = TARGET if policies >= 800 and "pod" in name else ""
        replaced = tuple((delta, whole) for delta, whole, _ in measured)
        yield Ratio(title, "replacement", replaced, target).row()
        started = tuple((delta, program) for delta, _, program in measured)
        yield Ratio(title, "starting `nft`", started).row()


def beside(policies: int, rounds: int) -> Iterator[str]:
    """Deltas over netlink against text through libnftables, and beside others' changes."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    every = changes(objects)
    for name in ("a pod elsewhere", "a pod relabelled"):
        with Router() as router, Router() as other, Router() as third:
            own = Node(router, objects, every[name])
            text = Node(other, objects, every[name], Via.NFT)
            hearing = Node(third, objects, every[name], listens=True)
            nodes = (own, text, hearing)
            for node in nodes:
                node.there_and_back()
            found = [
                (*(node.there_and_back() for node in nodes), hearing.there_and_back(FOREIGN))
                for _ in range(rounds)
            ]
        title = f"{policies} policies: {name}"
        texts = tuple((mine, its) for mine, its, _, _ in found)
        yield Ratio(title, "the same by `--via nft`", texts, "<= 0.2").row()
        if name == "a pod elsewhere":
            others = tuple((after, alone) for _, _, alone, after in found)
            yield Ratio(f"{title}, others change tables", "without", others, "<= 1.2").row()


@click.command()
@click.option("--policies", default="10,800", show_default=True, help="Policies of the node.")
@click.option("--rounds", default=15, show_default=True, help="Rounds of every row.")
def main(policies: str, rounds: int) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    for count in map(int, policies.split(",")):
        for row in (*rows(count, rounds), *beside(count, rounds)):
            print(row, flush=True)


if __name__ == "__main__":
    main()
