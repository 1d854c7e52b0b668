"""Shapes that a node's ruleset could have: each family in a table of its own, maps of all peers.

In: a `Scenario`, and the hook. Out: what loads each shape, and what it is: elements, CPU time of
its load relative to the text of netpolc's own ruleset, kernel memory. Nothing is refused.

A shape of one family is netpolc's ruleset without what asks for the other: in the same table
`inet`, or in a table `ip` or `ip6`, where no rule asks for the family first. With maps of all peers
each chain that asks for pods looks them up in one map of its own (`cost.source_map`), whatever it
takes to load. Or one chain's map holds only those pods that no other chain has a set of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import sleep
from unittest.mock import patch

from msgspec import structs

from benches.dataplane.clusters import Scenario
from benches.dataplane.rulesets import ACCEPT, ACCEPTING, AGAIN, EMPTY, NETPOLC, TRACKED
from benches.timing import timed_whole
from benches.workloads import LOCAL_NODE
from netpolc import Options, Ruleset
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower import cost, judge
from netpolc.backends.nft.lower.comparisons import LARGE_SET
from netpolc.backends.nft.lower.layout import AdmittedPeers, Laid, Layout
from netpolc.backends.nft.lower.peers import Peers
from netpolc.backends.nft.lower.questions import PodQuestion
from netpolc.backends.nft.netlink.replacement import Replacement, replace_table
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.compiler import Program
from netpolc.core.nets import Family, family
from tests.helpers.lab import Router

MAPS, APART = "source maps", "source maps but for shared sets"
COPIES = 4
"""Namespaces that have a shape at once while the kernel's memory is read."""
SETTLED = 0.5
"""Seconds in which the kernel frees what was deleted before, and what it needed to load."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A ruleset as text and, if netpolc's messages can say it, as what they are made from."""

    text: str
    sent: Replacement | None
    elements: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Loads as ratios to the text of netpolc's ruleset, and MiB of kernel memory."""

    text: float
    messages: float | None
    memory: float


def shapes(scenario: Scenario, hook: str) -> dict[str, Shape]:
    """Each shape by the name of its lane; netpolc's own is the first."""
    own, version = _ruleset(scenario.program, hook), scenario.family
    with patch.object(cost, "source_map", lambda *_, **__: True):
        mapped = _ruleset(scenario.program, hook)
    with patch.object(judge, "Layout", _SharedApart):
        apart = _ruleset(scenario.program, hook)
    table = "ip" if version is Family.IPV4 else "ip6"
    found = {NETPOLC: _shape(own), MAPS: _shape(mapped), APART: _shape(apart)}
    for name, ruleset in (("", own), (f" with {MAPS}", mapped)):
        alone = replace(ruleset, table=of_family(ruleset.table, version))
        found[f"one family's rules{name}"] = _shape(alone)
        found[f"table {table}{name}"] = _shape(alone, table)
    return found


def texts(several: Mapping[str, Shape]) -> dict[str, str]:
    """What is loaded into each lane; the first three let everything pass."""
    open_lanes = {EMPTY: TRACKED, AGAIN: TRACKED, ACCEPT: TRACKED + ACCEPTING}
    return open_lanes | {name: own.text for name, own in several.items()}


def of_family(table: nft.Table, version: Family) -> nft.Table:
    """A table without what only packets of the other family meet."""
    chains = (
        structs.replace(own, rules=tuple(rule for rule in own.rules if _is_met(rule, version)))
        for own in table.chains
    )
    return structs.replace(
        table,
        sets=tuple(own for own in table.sets if _version(own, version) is version),
        maps=tuple(own for own in table.maps if _version(own, version) is version),
        chains=tuple(chains),
    )


def costs(several: Mapping[str, Shape], rounds: int) -> dict[str, Cost]:
    """What each shape takes to load into an empty namespace, and there."""
    memory = {name: _memory(own.text) for name, own in several.items()}
    times: dict[tuple[str, str], list[float]] = {}
    with Router() as router, router.call(Wire) as wire:
        steps: dict[tuple[str, str], Callable[[], object]] = {}
        for name, own in several.items():
            steps[name, "text"] = lambda own=own: router.load(own.text)  # type: ignore[misc]
            if (sent := own.sent) is not None:
                steps[name, "messages"] = lambda sent=sent: replace_table(wire, sent)  # type: ignore[misc]
        for _ in range(rounds + 1):  # the first finds memory
            for key, step in steps.items():
                times.setdefault(key, []).append(timed_whole(step)[0])
                router.flush()
    base = times[NETPOLC, "text"][1:]

    def ratio(key: tuple[str, str]) -> float:
        return median(own / other for own, other in zip(times[key][1:], base, strict=True))

    return {
        name: Cost(
            ratio((name, "text")),
            ratio((name, "messages")) if own.sent is not None else None,
            memory[name],
        )
        for name, own in several.items()
    }


class _SharedApart(Layout):
    """One map of the pods that a chain asks for alone, and of small sets; large sets that other
    chains of the node ask for as well stay sets.
    """

    def lay_out(self, admitted: AdmittedPeers, by_source: bool) -> Laid:
        alone, others = AdmittedPeers({}), AdmittedPeers({})
        for ports, peers in admitted.classes.items():
            mapped = {own: told for own, told in peers.asked.items() if self._is_own(own)}
            rest = {own: told for own, told in peers.asked.items() if own not in mapped}
            alone.classes[ports] = Peers(mapped)
            others.classes[ports] = structs.replace(peers, asked=rest)
        rules = tuple(self._by_source(alone)) if alone.asked else ()
        laid = super().lay_out(others, by_source=False)
        return replace(laid, rules=(*rules, *laid.rules))

    def _is_own(self, asked: PodQuestion) -> bool:
        facts = self._comparisons._facts
        is_shared = facts.uses((asked,)) > 1 and facts.size((asked,)) >= LARGE_SET
        return not (is_shared or asked.blocks)


def _ruleset(program: Program, hook: str) -> Ruleset:
    fresh = Program(program.cluster, program.identities, program.combinations)
    return fresh.ruleset(LOCAL_NODE, Options(hook=hook))


def _shape(ruleset: Ruleset, table: str = "inet") -> Shape:
    text, model = ruleset.text(), ruleset.table
    entries = (*ruleset.facts, *model.counters, *model.sets, *model.maps, *model.chains)
    elements = sum(
        len(own.spans if isinstance(own, nft.NetworkSet) else own.elements)
        for own in (*model.sets, *model.maps)
    )
    if table == "inet":
        return Shape(text, Replacement(model.name, entries), elements)
    return Shape(text.replace("table inet ", f"table {table} "), None, elements)


def _version(entry: nft.NamedSet | nft.NamedMap, default: Family) -> Family:
    return default if isinstance(entry, nft.LinkSet | nft.PortMap) else entry.family


def _is_met(rule: nft.Rule, version: Family) -> bool:
    return all(_can_hold(own, version) for own in (*rule.matches, *rule.statements))


def _can_hold(own: nft.Match | nft.Statement, version: Family) -> bool:
    match own:
        case nft.SetMatch() | nft.PairMatch() | nft.AddressLookup() | nft.NetworkLookup():
            return own.family is version
        case nft.SpanMatch():
            return family(own.span[0]) is version
        case nft.OnLink() | nft.NeighbourDiscovery():
            return version is Family.IPV6
        case _:
            return True


def _memory(text: str) -> float:
    """MiB of kernel memory that a ruleset takes: its elements, hashes and rules are in slabs."""
    with ExitStack() as stack:
        routers = [stack.enter_context(Router()) for _ in range(COPIES)]
        sleep(SETTLED)
        before = _slabs()
        for router in routers:
            router.load(text)
        sleep(SETTLED)
        return (_slabs() - before) / COPIES


def _slabs() -> float:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/meminfo has no Slab")
