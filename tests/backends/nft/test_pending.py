"""`--pending deny`: addresses of the node's blocks are denied until a pod is known to have them.

In: a node with two blocks, a pod that a policy closes, one that none selects. Out: what packets
meet, written by hand; what the proof says of tables with and without the rules.
"""

from __future__ import annotations

import re
from itertools import product

import pytest

import netpolc
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.readback.proof.pairs import PairProof
from netpolc.backends.nft.readback.tracer import Tracer, packet
from netpolc.core.errors import UsageError
from netpolc.core.nets import parse_address
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

BLOCKS = ["10.64.0.0/24", "fd00:64::/64"]
CLOSED, OPEN, GATEWAY = "10.64.0.2", "10.64.0.3", "10.64.0.1"
NEW, ELSEWHERE, OUTSIDE = "10.64.0.9", "10.64.1.2", "192.0.2.9"
DENY = netpolc.Options(pending="deny")


def compiled(*more: Manifest, blocks: list[str] | None = None) -> netpolc.Program:
    own = node("node-a", "192.0.2.10", GATEWAY)
    own["spec"] = {"podCIDRs": BLOCKS if blocks is None else blocks}
    pods = [
        pod("closed", CLOSED, "fd00:64::2"),
        pod("open", OPEN, "fd00:64::3"),
        pod("other", ELSEWHERE, on="node-b"),
    ]
    cluster = [namespace("default"), own, node("node-b", "192.0.2.11"), *pods, *more]
    return netpolc.compile(netpolc.load_objects(cluster))


CLOSE = policy("closed", podSelector={"matchLabels": {"name": "closed"}})


def listing(program: netpolc.Program, options: netpolc.Options) -> Listing:
    return parse_text.parse(program.ruleset("node-a", options).text())


def passes(table: Listing, source: str, destination: str, local: bool = False) -> bool:
    ends = parse_address(source), parse_address(destination)
    return Tracer(table).trace(packet(*ends, 6, 80, local=local)).passed


@pytest.mark.parametrize("policies", [(), (CLOSE,)])
@pytest.mark.parametrize("established", ["keep", "recheck"])
def test_nobody_known_is_denied_both_ways(policies: tuple[Manifest, ...], established: str) -> None:
    options = netpolc.Options(pending="deny", established=established)
    table = listing(compiled(*policies), options)
    for peer in (OPEN, ELSEWHERE, OUTSIDE, NEW):
        assert not passes(table, NEW, peer)
        assert not passes(table, peer, NEW)
    for one, other in product((OPEN, ELSEWHERE, OUTSIDE, GATEWAY), repeat=2):
        assert passes(table, one, other)
    assert not passes(table, "fd00:64::9", "fd00:64::3")
    assert passes(table, "2001:db8::9", "fd00:64::3")
    assert passes(table, OPEN, CLOSED) is not bool(policies)


def test_a_block_that_is_told_stands_for_those_of_the_node() -> None:
    options = netpolc.Options(pending="deny", pod_cidrs=("10.64.1.0/24",))
    table = listing(compiled(CLOSE), options)
    assert passes(table, OUTSIDE, NEW)
    assert not passes(table, OUTSIDE, ELSEWHERE)  # of this node's block, and no pod of this node


def test_the_node_itself_reaches_what_starts() -> None:
    """Postrouting sees what the node sends, such as probes."""
    options = netpolc.Options(hook="postrouting", pending="deny")
    table = listing(compiled(CLOSE), options)
    assert passes(table, "192.0.2.10", NEW, local=True)
    assert not passes(table, "192.0.2.11", NEW)


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
@pytest.mark.parametrize("established", ["keep", "recheck"])
def test_the_proof_holds_and_sees_each_rule_that_is_lost(hook: str, established: str) -> None:
    program = compiled(CLOSE)
    options = netpolc.Options(hook=hook, pending="deny", established=established)
    blocks = options.pending_blocks(program.cluster, "node-a")
    text = program.ruleset("node-a", options).text()
    proof = Proof(program, parse_text.parse(text), "node-a", pending=blocks)
    assert proof.first() == []
    assert not proof.by_pairs
    rules = re.findall(r"\t\t[^\n]*jump [ie]_pending[^\n]*\n", text)
    assert len(rules) == 4
    for rule in rules:
        lost = parse_text.parse(text.replace(rule, "", 1))
        assert Proof(program, lost, "node-a", pending=blocks).first()
    assert Proof(program, parse_text.parse(text), "node-a").first()  # as if all were let pass


def test_packets_one_by_one_say_the_same() -> None:
    program = compiled(CLOSE)
    blocks = DENY.pending_blocks(program.cluster, "node-a")
    table = listing(program, DENY)
    assert list(PairProof(program, table, "node-a", pending=blocks).differences()) == []


def test_nothing_changes_unless_it_is_asked_for() -> None:
    program = compiled(CLOSE)
    assert "pending" not in program.ruleset("node-a").text()
    assert program.ruleset("node-a").text() == compiled(CLOSE, blocks=[]).ruleset("node-a").text()


def test_where_the_blocks_are_unknown_it_is_refused() -> None:
    program = compiled(CLOSE, blocks=[])
    with pytest.raises(UsageError, match=r"node node-a lists no spec\.podCIDRs: --pod-cidr"):
        program.ruleset("node-a", DENY)
    with pytest.raises(UsageError, match="every pod is local: --pod-cidr"):
        compiled().ruleset(None, DENY)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ({"pending": "perhaps"}, "neither allow nor deny"),
        ({"pod_cidrs": ("10.0.0.0/24",)}, "only with --pending deny"),
        ({"pending": "deny", "audit": True}, "leave --pending deny out"),
        ({"pending": "deny", "pod_cidrs": ("10.0.0.1/24",)}, "10.0.0.1/24"),
        ({"pending": "deny", "pod_cidrs": "10.0.0.0/24"}, "no list of them"),
        (
            {"pending": "deny", "pod_cidrs": tuple(f"2001:db8:{n}::/64" for n in range(9))},
            "too long",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(chosen: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        netpolc.Options(**chosen)  # type: ignore[arg-type]


def test_the_table_tells_what_was_chosen() -> None:
    for options in (DENY, netpolc.Options(pending="deny", pod_cidrs=tuple(BLOCKS))):
        said = " ".join(
            (options.describe(), options.describe_bridges(), options.describe_pending())
        )
        again = netpolc.Options.from_description("netpolc", said)
        assert (again.pending, again.pod_cidrs) == (options.pending, options.pod_cidrs)


def test_a_block_that_is_none_is_passed_over_with_a_warning() -> None:
    own = node("node-a")
    own["spec"] = {"podCIDR": "10.64.0.0/24", "podCIDRs": ["10.64.0.0/240", "10.65.0.0/24"]}
    snapshot = netpolc.load_objects([own])
    (told,) = (str(own) for own in snapshot.warnings if own.code == "NP008")
    assert "spec.podCIDRs[0]" in told
    blocks = DENY.pending_blocks(snapshot.cluster, "node-a")
    assert parse_address("10.65.0.7") in blocks
    assert parse_address("10.64.0.7") not in blocks
