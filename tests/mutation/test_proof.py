"""The proof: rulesets as emitted are equal to the policies, and whatever is changed is noticed.

In: rulesets of examples, and the same with one thing wrong (`tests/helpers/mutants.py`). Out: no
difference for the first, one for the others, but for those mutants that no packet can tell from the
original.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import product

import pytest

import netpolc
from netpolc.backends.nft import KEEP, RECHECK
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.core.errors import RulesetError
from tests.helpers.manifests import Manifest, namespace, node, pod, policy
from tests.helpers.mutants import Mutant, mutants
from tests.helpers.scenarios import Scenario, everything

OPTIONS = (
    *(
        netpolc.Options(hook=hook, log=log, audit=audit, established=established)
        for established, audit, hook, log in product(
            (KEEP, RECHECK), (False, True), ("forward", "postrouting"), (None, "3/hour")
        )
    ),
    netpolc.Options(deny="reject", log="10/second"),
    netpolc.Options(deny="reject", established="recheck", mark_mask=0xFF00),
    netpolc.Options(established="recheck", audit=True, mark_mask=0xFFFFFFFF),
)
EQUIVALENT = {
    "swap rules": "rules that both admit, or that no packet meets both, in another order",
    "add rule: accept": "before a rule that accepts all the same",
    "add rule: drop": "before a rule that drops all the same",
    "delete rule": "what the policy of the base chain says all the same, or an exemption unused",
    "chain: policy": "no packet reaches the end of the base chain",
    "map: change verdict": "goto for jump to a chain that always decides, or to one that is alike",
    "rule: change verdict": "the same, or the end of the base chain, where no peer is isolated",
    "rule: change value": "an exemption no packet of the snapshot needs",
    "rule: delete match": "an exemption no packet of the snapshot needs",
    "set: add element": "an address that no chain judges, in a set that counts by pod",
    "rule: delete mark": "a flow that is not marked is judged at every packet: slower, and right",
    "set: delete element": "a pod in its own peer set, which is admitted as itself",
}
"""Kinds of mutants that may survive, each with the reason (docs/verify.md)."""


STEPS = {"port-range": 1, "sctp": 1, "v18-ip-blocks": 1, "layouts": 4}
"""Of so many mutants one is tried."""
UNSEEN_VALUES = {
    "remember: judged by these policies": "unmarked flows are judged again; no flow, no mark",
    "forward: flows that were judged by these policies": "what is of no connection has no mark",
    "forward: replies are judged as their flow": "what is new, or of no connection, is no reply",
    **{
        f"reply_{chain}": "only established packets are sent to chains that judge replies"
        for chain in (
            "end_egress: no denial",
            "end_ingress: no denial",
            "e_aa32fc72865906ff: of no connection",
            "i_8a4bcb94afadc896: of no connection",
            "e_unknown: of no connection",
            "i_unknown: of no connection",
        )
    },
}
"""Rules of a table that rechecks of which another connection state may survive, with the reason.

Neighbour discovery is not among them: it is asked of pods of a bridge by link-local addresses, so
another hop limit or type is noticed.
"""


def layouts() -> list[Manifest]:
    """Ports through a map, exact and with ranges; blocks through an interval set; both families."""
    objects: list[Manifest] = [namespace("default"), node("node-a", "192.0.2.10")]
    names = ("target", "sink", "a", "b")
    objects += [pod(n, f"10.9.0.{at}", f"fd00:9::{at}") for at, n in enumerate(names, start=1)]
    blocks = [{"ipBlock": {"cidr": f"203.0.113.{16 * at}/29"}} for at in range(6)]
    peer = {"podSelector": {"matchLabels": {"name": "a"}}}
    both = {
        "podSelector": {
            "matchExpressions": [{"key": "name", "operator": "NotIn", "values": ["target"]}]
        }
    }
    rules = [{"from": [peer], "ports": [{"port": 100 * at}]} for at in range(1, 7)]
    rules += [{"from": blocks, "ports": [{"port": 250}, {"port": 300, "protocol": "UDP"}]}]
    ranges = [
        {"to": [both], "ports": [{"port": 10 * at, "endPort": 10 * at + at}]} for at in range(1, 7)
    ]
    ranges += [{"to": blocks}]
    target = {"matchLabels": {"name": "target"}}
    sink = {"matchLabels": {"name": "sink"}}
    objects.append(policy("in", podSelector=target, ingress=rules))
    objects.append(policy("out", podSelector=sink, policyTypes=["Egress"], egress=ranges))
    return objects


CLOSED = [pod("x/a", "10.0.0.1", "fd00::1"), policy("x/p", podSelector={})]


@cache
def program_of(name: str) -> netpolc.Program:
    if name == "layouts":
        return netpolc.compile(netpolc.load_objects(layouts()))
    return next(scenario for scenario in everything() if scenario.name == name).program()


def forms(ruleset: netpolc.Ruleset) -> tuple[Listing, Listing]:
    return parse_text.parse(ruleset.text()), parse_json.parse(ruleset.json())


@pytest.mark.parametrize("scenario", everything(), ids=lambda s: s.name)
def test_what_is_emitted_is_what_the_policies_mean(scenario: Scenario) -> None:
    program = scenario.program()
    assigned = all(pod.node or not pod.addresses for pod in program.cluster.pods)
    names = (None, *(program.cluster.nodes if assigned else ()))
    for number, name in enumerate(names, start=len(scenario.name)):
        options = OPTIONS[number % len(OPTIONS)]
        ruleset = program.ruleset(name, options)
        proof = Proof(program, forms(ruleset)[number % 2], name, audit=options.audit)
        assert [str(found) for found in proof.differences()] == []
        assert proof.cases > 0


@pytest.mark.parametrize("options", OPTIONS, ids=netpolc.Options.describe)
def test_every_combination_of_options_is_proven(options: netpolc.Options) -> None:
    """Of enforced policies, of audited ones, and of both together."""
    program = program_of("audit-neither-denies-nor-opens")
    for listing in forms(program.ruleset(None, options)):
        proof = Proof(program, listing, audit=options.audit)
        assert [str(found) for found in proof.differences()] == []
        assert proof.cases > 0
        enforced = Proof(program, listing, audit=not options.audit)
        assert next(enforced.differences(), None) is not None


def test_a_proof_tells_how_far_it_is() -> None:
    program = netpolc.compile(netpolc.load_objects(CLOSED))
    told: list[tuple[int, int]] = []
    proof = Proof(program, parse_text.parse(program.ruleset().text()))
    assert not proof.first(lambda done, total: told.append((done, total)))
    total = len(told)
    assert total > 2
    assert told == [(number, total) for number in range(1, total + 1)]


def test_every_layout_is_proven() -> None:
    program = program_of("layouts")
    maps = {entry.name[0] for entry in program.ruleset().table.maps}
    sets = {entry.name[0] for entry in program.ruleset().table.sets}
    assert "v" in maps
    assert "c" in sets
    for listing in forms(program.ruleset()):
        proof = Proof(program, listing)
        assert [str(found) for found in proof.differences()] == []
        assert proof.cases > 3_000


@pytest.mark.parametrize(
    ("name", "established"), [("port-range", KEEP), ("port-range", RECHECK), ("layouts", KEEP)]
)
def test_equal_contents_are_equal_rulesets(name: str, established: str) -> None:
    """What `apply --verify` reads back is proven without a proof only if nothing was changed."""
    ruleset = program_of(name).ruleset(options=netpolc.Options(established=established))
    first, second = forms(ruleset)
    assert first.content() == second.content()
    for mutant in list(mutants(ruleset.json()))[:: 1 if name == "port-range" else 8]:
        try:
            listing = parse_json.parse(mutant.text)
        except RulesetError:
            continue
        assert listing.content() != first.content(), (mutant.kind, mutant.where)


@cache
def survivors(
    name: str, options: netpolc.Options = OPTIONS[0]
) -> tuple[list[Mutant], Counter[str]]:
    """The mutants that are neither refused nor different, and how many were what."""
    program = program_of(name)
    alive: list[Mutant] = []
    counts: Counter[str] = Counter()
    every = list(mutants(program.ruleset(None, options).json()))
    for mutant in every[:: STEPS[name]]:
        try:
            proof = Proof(program, parse_json.parse(mutant.text))
            difference = next(proof.differences(), None)
        except RulesetError:  # the kernel would not load it either, or netpolc never emits it
            counts["refused"] += 1
            continue
        if difference is None:
            alive.append(mutant)
            counts["survived"] += 1
        else:
            counts["killed"] += 1
    return alive, counts


@pytest.mark.parametrize("name", ["port-range", "sctp", "v18-ip-blocks", "layouts"])
def test_a_change_of_any_one_thing_is_noticed(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    alive, counts = survivors(name)
    rate = 1 - counts["survived"] / counts.total()
    with capsys.disabled():
        kinds = ", ".join(f"{n} {kind}" for kind, n in Counter(m.kind for m in alive).items())
        print(f"\n{name}: {counts.total()} mutants, {dict(counts)}, {rate:.0%} noticed; {kinds}")
    assert {mutant.kind for mutant in alive} <= set(EQUIVALENT)
    for mutant in alive:
        if mutant.kind in ("rule: change value", "rule: delete match"):
            assert mutant.where == "exempt: neighbour discovery"
    assert rate > 0.8


def test_peers_in_a_map_are_not_taken_for_the_pods_of_the_node() -> None:
    """Both pods deny all ingress, so that the egress of each is only seen alone."""
    types = ["Ingress", "Egress"]
    egress: list[Manifest] = [
        {"ports": [{"protocol": "TCP"}, {"port": "http"}]},
        {"to": [{"podSelector": {}}]},
    ]
    isolated = policy("default/np", podSelector={}, policyTypes=types, egress=egress)
    pods = [pod(f"default/p{number}", f"10.0.0.{number}") for number in range(1, 51)]
    for serving in pods[:-1]:
        serving["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "name": "http"}]
    program = netpolc.compile(netpolc.load_objects([*pods, isolated]))
    text = program.ruleset().text()
    assert "ip daddr vmap @a4_" in text
    assert list(Proof(program, parse_text.parse(text)).differences()) == []
    wrong = text.replace("10.0.0.2 : goto ingress,\n\t\t\t", "", 1)
    assert wrong != text
    found = [str(own) for own in Proof(program, parse_text.parse(wrong)).differences()]
    assert any("-> 10.0.0.2 UDP/" in own and "(egress alone)" in own for own in found)


def test_a_recheck_that_lets_a_flow_slip_is_noticed() -> None:
    """What survives beside that marks fewer flows, or names packets that do not exist."""
    alive, counts = survivors("sctp", netpolc.Options(established="recheck"))
    assert {mutant.kind for mutant in alive} <= set(EQUIVALENT)
    changed = {own.where for own in alive if own.kind == "rule: change value"}
    assert changed == set(UNSEEN_VALUES)
    assert counts["survived"] / counts.total() < 0.2


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("ct state established,related ct mark & 0xfff00000 == 0x{:08x} accept",
         "ct state established,related accept", "established"),
        ("ct state established,new ct mark set", "ct mark set", "must not be marked as judged"),
        ("goto reply comment", "accept comment", "established, reply"),
        ("tcp sport 5432", "tcp sport 5433", "established, reply"),
        ("goto reply_ingress comment \"then", "accept comment \"then", "reply"),
        ("ip saddr @deny_in4", "ip daddr @deny_in4", "counted by: no pod"),
    ],
)  # fmt: skip
def test_a_hole_in_a_recheck_is_found(old: str, new: str, words: str) -> None:
    program = program_of("three-tier")
    ruleset = program.ruleset(None, netpolc.Options(established="recheck"))
    text, old = ruleset.text(), old.format(ruleset.generation)
    assert old in text
    found = [
        str(own) for own in Proof(program, parse_text.parse(text.replace(old, new))).differences()
    ]
    assert any(words in own for own in found)
