"""What may go wrong with ordered tiers: the proof notices all of it that a packet can notice.

In: clusters of `tests.helpers.ordered` in either layout. Out: rulesets of policies with two
priorities swapped, with a Pass dropped or turned into a return too many, with an entry of a merged
map missing. The oracle of whether a packet can tell is not the proof: it is the slow semantics for
what the policies say, and the tracer for what a table does, both asked flow by flow.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, product
from random import Random
from typing import Any

import pytest
from msgspec import structs

import netpolc
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.readback.tracer import ICMPV6, Tracer, packet
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import ANY, Action, Tier
from netpolc.core.nets import family, format_address, parse_address
from tests.helpers import ordered
from tests.property.test_ordered import force

CLUSTERS = 14
ENTRIES = 12
"""Entries of maps that are left out, a cluster."""
Json = Any


def ends(program: netpolc.Program) -> list[tuple[int, int]]:
    """Pairs of the pods, nodes and strangers of a cluster, one of them a pod."""
    pods = list(program.pods_by_address)
    others = [parse_address(at) for at in ordered.OUTSIDE]
    others += [at for own in program.cluster.nodes.values() for at in own.addresses]
    nodes = {at: program.cluster.node_addresses(pod) for at, pod in program.pods_by_address.items()}
    found = [*product(pods, pods), *product(pods, others), *product(others, pods)]
    return [
        (a, b)
        for a, b in found
        if family(a) is family(b) and b not in nodes.get(a, ()) and a not in nodes.get(b, ())
    ]


def services(program: netpolc.Program) -> list[tuple[int, int | None]]:
    """A port at and beside every edge of a rule, and protocols without."""
    found: set[tuple[int, int | None]] = {(1, None), (47, None)}
    for match in program.matches:
        if match.ports is not ANY:
            for span in match.ports:
                found |= {
                    (edge >> 16, edge & 65535)
                    for edge in (span[0], span[1], span[1] + 1)
                    if edge >> 16 == span[0] >> 16
                }
    return sorted(found, key=str)


def judged(program: netpolc.Program, asked: list[tuple[int, int | None]]) -> list[bool]:
    """What the policies say of every flow; a pod's own come back from a Service."""
    found = []
    for (source, destination), (protocol, port) in product(ends(program), asked):
        icmp = ICMPV6 if protocol == 1 and source >> 128 else protocol
        flow = netpolc.Flow(format_address(source), format_address(destination), icmp, port)
        verdict = netpolc.evaluate(program, flow, hairpin=True)
        found += [verdict.egress.allowed, verdict.ingress.allowed]
    return found


def traced(
    program: netpolc.Program, listing: Listing, asked: list[tuple[int, int | None]]
) -> list[object]:
    """What a table does with every flow, and how it counts it."""
    tracer = Tracer(listing)
    traces: list[object] = []
    for (source, destination), (protocol, port) in product(ends(program), asked):
        icmp = ICMPV6 if protocol == 1 and source >> 128 else protocol
        own = tracer.trace(packet(source, destination, icmp, port))
        traces.append((own.passed, own.counted))
    return traces


def swapped(own: Snapshot) -> Iterator[tuple[str, Snapshot]]:
    """Two policies of one tier, each with the other's priority."""
    policies = list(own.policies)
    ranked = [n for n, p in enumerate(policies) if p.tier is not Tier.NETWORK_POLICY]
    for one, other in combinations(ranked, 2):
        a, b = policies[one], policies[other]
        if a.tier is b.tier and a.priority != b.priority:
            changed = list(policies)
            changed[one] = replace(a, priority=b.priority)
            changed[other] = replace(b, priority=a.priority)
            yield "swapped priorities", replace(own, policies=tuple(changed))


def without_pass(own: Snapshot) -> Iterator[tuple[str, Snapshot]]:
    """A Pass that is not there, and one that accepts."""
    for at, policy in enumerate(own.policies):
        for place, rule in enumerate(policy.rules):
            if rule.action is Action.PASS:
                head, tail = policy.rules[:place], policy.rules[place + 1 :]
                accepting = structs.replace(rule, action=Action.ACCEPT)
                for kind, rules in (
                    ("Pass dropped", (*head, *tail)),
                    ("Pass accepts", (*head, accepting, *tail)),
                ):
                    changed = list(own.policies)
                    changed[at] = replace(policy, rules=rules)
                    yield kind, replace(own, policies=tuple(changed))


def missing(text: str, draw: Random) -> Iterator[str]:
    """The ruleset without an entry of a map from peers."""
    document = json.loads(text)
    places = [
        (at, number)
        for at, command in enumerate(document["nftables"])
        if "map" in (body := command.get("add", {})) and body["map"]["name"][:2] in _MAPS
        for number in range(len(body["map"]["elem"]))
    ]
    for at, number in draw.sample(places, min(ENTRIES, len(places))):
        changed = copy.deepcopy(document)
        del changed["nftables"][at]["add"]["map"]["elem"][number]
        yield json.dumps(changed)


_MAPS = ("m4", "m6", "n4", "n6")


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "merged"])
def test_what_a_packet_can_notice_is_noticed(
    linear: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    force(monkeypatch, linear)
    killed: Counter[str] = Counter()
    alive: Counter[str] = Counter()
    for seed in range(CLUSTERS):
        draw = Random(f"mutants {seed}")
        own = ordered.snapshot(draw)
        program = netpolc.compile(own)
        for kind, other in (*swapped(own), *without_pass(own)):
            changed = netpolc.compile(other)
            asked = sorted({*services(program), *services(changed)}, key=str)
            if judged(program, asked) == judged(changed, asked):
                continue  # no packet could tell
            listing = parse_json.parse(changed.ruleset().json())
            noticed = next(Proof(program, listing).differences(), None) is not None
            (killed if noticed else alive)[kind] += 1
        text, asked = program.ruleset().json(), services(program)
        whole = traced(program, parse_json.parse(text), asked)
        for mutant in missing(text, draw):
            listing = parse_json.parse(mutant)
            if traced(program, listing, asked) == whole:
                continue
            noticed = next(Proof(program, listing).differences(), None) is not None
            (killed if noticed else alive)["missing entry"] += 1
    with capsys.disabled():
        print(f"\n{'linear' if linear else 'merged'}: noticed {dict(killed)}, not {dict(alive)}")
    assert killed["swapped priorities"] >= 5
    assert killed["Pass dropped"] >= 5
    assert killed["Pass accepts"] >= 5
    assert killed["missing entry"] >= (0 if linear else 30)
    assert killed.total() / (killed.total() + alive.total()) >= 0.99


@pytest.mark.parametrize("established", ["keep", "recheck"])
def test_a_second_base_chain_that_asks_nothing_is_noticed(established: str) -> None:
    """Without its lookups what ingress denies would pass; without its rules nothing is known."""
    options = netpolc.Options(established=established)
    program = next(
        found
        for seed in range(100)
        if "then_ingress"
        in (found := netpolc.compile(ordered.snapshot(Random(seed), audited=True)))
        .ruleset(options=options)
        .text()
    )
    text = program.ruleset(options=options).text()
    assert Proof(program, parse_text.parse(text)).first() == []
    head, _, tail = text.partition("chain then_ingress {")
    rules, _, rest = tail.partition("}")
    lines = rules.splitlines(keepends=True)
    assert len(lines) >= 4
    for number in range(2, len(lines) - 1):  # behind the line of the hook
        mutant = (
            f"{head}chain then_ingress {{{''.join(lines[:number] + lines[number + 1 :])}}}{rest}"
        )
        assert Proof(program, parse_text.parse(mutant)).first() != [], lines[number]
