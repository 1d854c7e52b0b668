"""Addresses that change hands: no flow of a pod that is gone reaches the next one.

In: flows in a real table of connections, also in zones, marked and translated, written there by
pyroute2; snapshots in which addresses have other pods, as `netpolc apply` loads them. Out: which
flows are left, and whether data still comes through.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple, NFCTSocket

import netpolc
from netpolc import Options, SystemRefusal
from netpolc.backends.nft.names import NOTED
from netpolc.backends.nft.rollout.guard import Pending
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.rollout.rollout import Plan, Rollout, roll_out
from netpolc.core.nets import parse_address
from tests.helpers.lab import PodLab
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

pytestmark = pytest.mark.kernel
OLD, OTHER = ("10.9.0.1", "fd00:9::1"), ("10.9.0.2", "fd00:9::2")
SERVICE = "10.96.0.1"
SERVICES = f"""
table ip service {{
  chain prerouting {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} udp dport 80 dnat to {OLD[0]}:7000
  }}
}}
"""
KEEP, RECHECK = Options(), Options(established="recheck")
UDP = {"family": socket.AF_INET, "proto": socket.IPPROTO_UDP}
FAMILIES = (socket.AF_INET, socket.AF_INET6)


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[PodLab]:
    with PodLab({"old": OLD, "other": OTHER}) as lab:
        lab.serve("old", "UDP", 7000)
        lab.serve("old", "TCP", 7000)
        yield lab


def with_uid(uid: str, made: Manifest) -> Manifest:
    made["metadata"]["uid"] = uid
    return made


def db(uid: str, **labels: str) -> Manifest:
    return with_uid(uid, pod("default/db-0", *OLD, **labels))


OTHERS = pod("default/other", *OTHER)
OPEN = pod("default/open", *OLD)
VAULT = pod("default/vault", *OLD)
ALONE = {"matchLabels": {"name": "vault"}}
CLOSED = policy("vault", podSelector=ALONE)
CLOSED_BOTH_WAYS = policy("vault", podSelector=ALONE, policyTypes=["Ingress", "Egress"])


def apply(
    lab: PodLab, *objects: Manifest, options: Options = KEEP, kernel: Kernel | None = None
) -> Rollout:
    snapshot = netpolc.load_objects([namespace("default"), node("node-a", "192.0.2.1"), *objects])
    ruleset = netpolc.compile(snapshot).ruleset("node-a", options)
    return lab.node.call(lambda: roll_out(kernel or Kernel(), ruleset, Plan()))


def addresses(lab: PodLab) -> set[str]:
    """Every address of the open flows, before translation and after."""

    def found() -> set[str]:
        names = ("SRC", "DST")
        own: set[str] = set()
        for family in FAMILIES:
            version = "V4" if family == socket.AF_INET else "V6"
            with NFCTSocket(nfgen_family=family) as table:
                for entry in table.dump():
                    for way in ("CTA_TUPLE_ORIG", "CTA_TUPLE_REPLY"):
                        ends = entry.get_attr(way).get_attr("CTA_TUPLE_IP")
                        own |= {ends.get_attr(f"CTA_IP_{version}_{name}") for name in names}
        return own

    return lab.node.call(found)


def begin(lab: PodLab, *flows: dict[str, Any]) -> None:
    """Write flows into the table of connections: `there` and `back` are (source, destination)."""

    def write() -> None:
        for flow in flows:
            (source, destination), (server, client) = flow["there"], flow["back"]
            family = socket.AF_INET6 if ":" in source else socket.AF_INET
            ends = {"family": family, "proto": flow.get("proto", socket.IPPROTO_UDP)}
            port = flow.get("port", 9)
            there = NFCTAttrTuple(saddr=source, daddr=destination, sport=port, dport=80, **ends)
            back = NFCTAttrTuple(saddr=server, daddr=client, sport=80, dport=port, **ends)
            rest = {name: flow[name] for name in ("zone", "mark") if name in flow}
            with NFCTSocket(nfgen_family=family) as table:
                table.entry("add", tuple_orig=there, tuple_reply=back, timeout=60, **rest)

    lab.node.call(write)


def between(source: str, destination: str, **rest: Any) -> dict[str, Any]:
    return {"there": (source, destination), "back": (destination, source), **rest}


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ([OPEN], [VAULT], False),
        ([VAULT], [OPEN], False),
        ([OPEN], [], False),
        ([db("1")], [db("2")], False),
        ([db("1")], [db("1")], True),
        ([db("")], [db("2")], True),
        ([db("1")], [db("1", team="b")], True),
    ],
    ids=["next", "to an open one", "gone", "born again", "the same", "UID learnt", "relabelled"],
)  # fmt: skip
@pytest.mark.parametrize("options", [KEEP, RECHECK], ids=["keep", "recheck"])
def test_flows_end_with_their_pod(
    lab: PodLab, before: list[Manifest], after: list[Manifest], kept: bool, options: Options
) -> None:
    apply(lab, *before, OTHERS, CLOSED, options=options)
    begin(
        lab,
        between(OTHER[0], OLD[0]),
        between(OLD[1], "2001:db8::7"),
        between(OTHER[0], "192.0.2.9"),
    )
    apply(lab, *after, OTHERS, CLOSED, options=options)
    assert addresses(lab) & {*OLD} == ({*OLD} if kept else set())
    assert {OTHER[0], "192.0.2.9"} <= addresses(lab)


def begin_of_every_kind(lab: PodLab) -> set[str]:
    """Flows of the address OLD and of others, in every zone; the addresses of the others."""
    begin(
        lab,
        between(OTHER[0], OLD[0], zone=7, mark=0x80),
        between(OTHER[0], OLD[0], mark=0x1),
        between(OTHER[1], OLD[1], zone=9),
        between(OLD[0], OTHER[0], proto=socket.IPPROTO_TCP, port=10),
        between(OLD[0], OTHER[0], proto=socket.IPPROTO_SCTP),
        # Translated: to the pod's address, and from it to one of the node's.
        {"there": (OTHER[0], SERVICE), "back": (OLD[0], OTHER[0]), "port": 11},
        {"there": (OLD[0], "198.51.100.7"), "back": ("198.51.100.7", "192.0.2.1"), "port": 12},
        between(OTHER[0], "198.51.100.7", zone=7),
        between(OTHER[1], "2001:db8::7"),
    )  # fmt: skip
    return {OTHER[0], "198.51.100.7", OTHER[1], "2001:db8::7"}


def test_flows_of_every_zone_protocol_and_translation_are_forgotten(lab: PodLab) -> None:
    apply(lab, OPEN, OTHERS)
    left = begin_of_every_kind(lab)
    apply(lab, VAULT, OTHERS)
    assert addresses(lab) == left


def test_a_flush_takes_the_flows_of_an_address_and_no_others(lab: PodLab) -> None:
    left = begin_of_every_kind(lab)
    old = [parse_address(own) for own in OLD]
    before = addresses(lab)
    assert not lab.node.call(lambda: conntrack.FlowFlusher().flush(old))  # IPv6 is among them
    assert addresses(lab) == before
    if not lab.node.call(lambda: conntrack.FlowFlusher().flush(old[:1])):
        assert addresses(lab) == before  # an older kernel
        return
    assert addresses(lab) == left | {OLD[1]}


def test_answers_are_flushed_from_either_end(lab: PodLab) -> None:
    if not lab.node.call(lambda: conntrack.FlowFlusher().flush([parse_address(OLD[0])])):
        pytest.skip("the kernel cannot flush by an address")
    begin(
        lab,
        between(OTHER[0], OLD[0]),
        between(OLD[0], OTHER[0], port=10),
        between("192.0.2.9", "198.51.100.7"),
    )
    lab.node.call(lambda: conntrack.FlowFlusher().flush_answers([parse_address(OLD[0])]))
    assert addresses(lab) == {"192.0.2.9", "198.51.100.7"}


@pytest.mark.parametrize("through", [OLD[0], OLD[1], SERVICE])
def test_data_does_not_reach_the_next_pod(lab: PodLab, through: str) -> None:
    lab.node.load(SERVICES)
    apply(lab, OPEN, OTHERS, CLOSED)
    port = 80 if through == SERVICE else 7000
    with lab.connection("other", through, "UDP", port) as flow:
        assert flow.echo(b"to the old pod")
        apply(lab, VAULT, OTHERS, CLOSED)
        assert not flow.echo(b"to the vault")


def test_nothing_comes_through_after_the_load_under_traffic(lab: PodLab) -> None:
    """Were flows forgotten before the load, the next packet would begin them by the old rules."""
    apply(lab, OPEN, OTHERS, CLOSED)
    with lab.connection("other", OLD[0], "UDP", 7000) as flow:
        stop = threading.Event()

        def talk() -> None:
            while not stop.is_set():
                flow._socket.send(bytes(12))
                time.sleep(0.001)

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            for _ in range(10):
                apply(lab, VAULT, OTHERS, CLOSED_BOTH_WAYS)
                assert _falls_silent(flow._socket)
                apply(lab, OPEN, OTHERS, CLOSED_BOTH_WAYS)
                flow._socket.settimeout(1)
                assert flow._socket.recv(64)
        finally:
            stop.set()
            talking.join()


def _falls_silent(opened: socket.socket) -> bool:
    """Whether, once what was on its way has come, nothing comes any more."""
    opened.settimeout(0.3)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        try:
            opened.recv(64)
        except TimeoutError:
            return True
    return False


def test_an_answer_that_was_on_its_way_begins_nothing(
    lab: PodLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next pod may send, and its last answer would open the way to it again."""
    apply(lab, OPEN, OTHERS, CLOSED)
    begin(lab, between(OTHER[0], OLD[0]))
    seen: list[set[str]] = []

    def answer(_: float) -> None:
        seen.append(addresses(lab))
        if len(seen) == 1:
            entry = NFCTAttrTuple(saddr=OLD[0], daddr=OTHER[0], sport=80, dport=9, **UDP)
            back = NFCTAttrTuple(saddr=OTHER[0], daddr=OLD[0], sport=9, dport=80, **UDP)
            with NFCTSocket() as table:
                table.entry("add", tuple_orig=entry, tuple_reply=back, timeout=60)

    monkeypatch.setattr("netpolc.backends.nft.rollout.netfilter.conntrack.time.sleep", answer)
    apply(lab, VAULT, OTHERS, CLOSED)
    assert len(seen) == 2
    assert not addresses(lab)


def test_a_peer_that_was_admitted_by_name_hands_its_address_on(lab: PodLab) -> None:
    """The peer runs elsewhere, and what is admitted here is asked here alone."""
    named = {"podSelector": {"matchLabels": {"name": "api"}}}
    egress = policy("out", podSelector={"matchLabels": {"name": "other"}}, policyTypes=["Egress"],
                    egress=[{"to": [named]}])  # fmt: skip
    api, next_ = (pod(f"default/{name}", *OLD, on="node-b") for name in ("api", "next"))
    apply(lab, api, OTHERS, egress, node("node-b"))
    with lab.connection("other", OLD[0], "UDP", 7000) as flow:
        assert flow.echo(b"admitted")
        apply(lab, next_, OTHERS, egress, node("node-b"))
        assert not flow.echo(b"to another")


def test_a_new_address_keeps_what_is_admitted_and_loses_what_is_denied(lab: PodLab) -> None:
    """Nobody knows whose flows those are: of a pod that began before it was known, or of one that
    was never of this node.
    """
    admits = policy("some", podSelector={"matchLabels": {"name": "vault"}},
                    ingress=[{"ports": [{"port": 81, "protocol": "UDP"}]}])  # fmt: skip
    apply(lab, OTHERS, admits)
    begin(lab, between(OTHER[0], OLD[0]), between(OTHER[1], "2001:db8::7"))
    apply(lab, OPEN, OTHERS, admits)
    assert {*OLD, *OTHER} & addresses(lab) == {OLD[0], *OTHER}
    lab.node.forget_connections()
    apply(lab, OTHERS, admits)
    begin(lab, between(OTHER[0], OLD[0]), between(OTHER[1], "2001:db8::7"))
    apply(lab, VAULT, OTHERS, admits)
    assert {*OLD, *OTHER} & addresses(lab) == {OTHER[1]}


def test_the_first_load_forgets_nothing(lab: PodLab) -> None:
    begin(lab, between(OTHER[0], OLD[0]))
    apply(lab, VAULT, OTHERS, CLOSED)
    assert OLD[0] in addresses(lab)


@pytest.mark.parametrize("kind", ["remembered", "read back", "replaced", "noted by others"])
def test_who_had_an_address_is_known_however_the_table_is_changed(lab: PodLab, kind: str) -> None:
    kernel = lab.node.call(Kernel) if kind == "remembered" else None
    everybody = policy("all", podSelector={})
    apply(lab, OPEN, OTHERS, everybody, kernel=kernel)
    begin(lab, between(OTHER[0], OLD[0]))
    if kind in ("replaced", "noted by others"):  # netpolc makes no quotas
        lab.node.load("add quota inet netpolc mine { over 1 mbytes }")
    if kind == "noted by others":
        lab.node.load("add element inet netpolc meta_pods4 { 203.0.113.7 }")
    done = apply(lab, VAULT, OTHERS, everybody, kernel=kernel).update
    assert done.replaced is (kind in ("replaced", "noted by others"))
    assert OLD[0] not in addresses(lab)
    assert not apply(lab, VAULT, OTHERS, everybody, kernel=kernel).update.moved


def test_a_set_of_others_by_the_name_of_the_notes_says_nothing(lab: PodLab) -> None:
    lab.node.load(
        "table inet netpolc { set meta_pods4 { type inet_service; elements = { 80 }; }; }"
    )
    assert apply(lab, OPEN, CLOSED).update.replaced


def test_after_a_failure_the_next_run_forgets(lab: PodLab, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(lab, OPEN, OTHERS, CLOSED)
    begin(lab, between(OTHER[0], OLD[0]))

    def refused(_: Sequence[int]) -> int:
        raise SystemRefusal("no")

    with monkeypatch.context() as failing:
        failing.setattr(conntrack, "forget_addresses", refused)
        with pytest.raises(SystemRefusal):
            apply(lab, VAULT, OTHERS, CLOSED)
    assert not lab.connect("other", OLD[0], "UDP", 7001)
    assert OLD[0] in addresses(lab)
    apply(lab, VAULT, OTHERS, CLOSED)
    assert OLD[0] not in addresses(lab)


def test_what_is_undone_gives_no_flow_to_another_pod(lab: PodLab) -> None:
    apply(lab, VAULT, OTHERS, CLOSED)
    previous = lab.node.call(lambda: Kernel().saved("netpolc"))
    snapshot = [namespace("default"), node("node-a", "192.0.2.1"), OPEN, OTHERS, CLOSED]
    ruleset = netpolc.compile(netpolc.load_objects(snapshot)).ruleset("node-a")
    pending = lab.node.call(lambda: roll_out(Kernel(), ruleset, Plan(seconds=60))).pending
    assert pending is not None
    begin(lab, between(OTHER[0], OLD[0]), between(OTHER[1], "2001:db8::7"))
    lab.node.call(lambda: Pending("netpolc", pending.unconfirmed, previous).undo(Kernel()))
    assert {OLD[0], OTHER[1]} & addresses(lab) == {OTHER[1]}


def test_the_notes_are_no_part_of_what_is_proven_compared_or_saved(
    lab: PodLab,
) -> None:
    first = pod("default/open", *OLD)
    apply(lab, with_uid("1", first), OTHERS, CLOSED)
    table = lab.node.run("nft", "list", "table", "inet", "netpolc")
    kernel = lab.node.call(Kernel)
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert lab.node.call(lambda: kernel.tables.content("netpolc")) == loaded.digest
    delta = apply(lab, with_uid("2", first), OTHERS, CLOSED).update.delta
    assert delta is not None
    assert not delta
    assert lab.node.run("nft", "list", "table", "inet", "netpolc") != table
    noted = lab.node.call(lambda: kernel.facts.noted("netpolc"))
    assert noted is not None
    assert set(map(netpolc.core.nets.format_address, noted)) == {*OLD, *OTHER}
    assert all(name in table for name in NOTED.values())
