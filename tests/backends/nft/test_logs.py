"""Kernel log lines to flows: what the kernel writes, with any time in front, and what is no line.

The packets' parts are as Linux 6.18 wrote them (`nf_log_syslog`); expectations are by hand.
"""

from __future__ import annotations

import pytest

from netpolc import Flow
from netpolc.backends.nft.names import log_prefix, reply_prefix
from netpolc.backends.nft.signals.logs import LoggedFlow, UnreadableLine, flows_from_log
from netpolc.core.ir import Direction

CHAIN = "i_80374e8aa4f4e523"
OUT_CHAIN = "e_3833a3a4c9a228a0"
LINK = "IN=eth0 OUT=veth7 MAC=02:00:00:00:00:02:02:00:00:00:00:01:08:00"
V4 = f"{LINK} SRC=10.244.0.2 DST=10.244.0.3 LEN=40 TOS=0x00 PREC=0x00 TTL=63 ID=6 DF"
V6 = (
    f"{LINK} SRC=fd00:0010:0244:0000:0000:0000:0000:0002 "
    "DST=fd00:0010:0244:0000:0000:0000:0000:0003 LEN=56 TC=0 HOPLIMIT=63 FLOWLBL=0"
)
TCP = "PROTO=TCP SPT=32773 DPT=80 WINDOW=64240 RES=0x00 SYN URGP=0 "
INSIDE = "[SRC=10.244.0.3 DST=192.0.2.9 LEN=40 TTL=63 PROTO=TCP SPT=1 DPT=99 ] "
A, B = "10.244.0.2", "10.244.0.3"
A6, B6 = "fd00:10:244::2", "fd00:10:244::3"


def one(text: str) -> LoggedFlow | UnreadableLine:
    (found,) = flows_from_log([text])
    return found


@pytest.mark.parametrize(
    ("packet", "flow"),
    [
        (f"{V4} {TCP}", Flow(A, B, "TCP", 80)),
        (f"{V4} PROTO=UDP SPT=40000 DPT=53 LEN=16 ", Flow(A, B, "UDP", 53)),
        (f"{V4} PROTO=ICMP TYPE=8 CODE=0 ID=32775 SEQ=1 ", Flow(A, B, 1)),
        (f"{V4} PROTO=ICMP TYPE=3 CODE=1 {INSIDE}", Flow(A, B, 1)),
        (f"{V4} PROTO=47 ", Flow(A, B, 47)),
        (f"{V4} PROTO=ESP SPI=0x1 ", Flow(A, B, 50)),
        (f"{V4} PROTO=UDPLITE SPT=5 DPT=6 LEN=9 ", Flow(A, B, 136)),
        (f"{V6} PROTO=UDP SPT=32774 DPT=53 LEN=16 ", Flow(A6, B6, "UDP", 53)),
        (f"{V6} PROTO=ICMPv6 TYPE=128 CODE=0 ID=32780 SEQ=1 ", Flow(A6, B6, 58)),
        (f"{V4} PROTO=SCTP SPT=1 DPT=38412 LEN=9 ", Flow(A, B, "SCTP", 38412)),
    ],
)
def test_a_packet_becomes_its_flow(packet: str, flow: Flow) -> None:
    wanted = LoggedFlow(1, flow, Direction.INGRESS, CHAIN, False)
    assert one(f"netpolc ingress {CHAIN}: {packet}") == wanted


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "[13308.502118] ",
        "[Sat Nov 21 05:20:01 2026] ",
        "Nov 21 05:20:01 node-a kernel: ",
        "2026-11-21T05:20:01,123456+00:00 ",
        "2026-11-21T05:20:01.123456+00:00 node-a kernel: [13308.502118] ",
        "<4>[13308.502118] ",
    ],
)
@pytest.mark.parametrize("audited", [False, True])
def test_whatever_time_is_in_front(stamp: str, audited: bool) -> None:
    prefix = log_prefix(Direction.EGRESS, OUT_CHAIN, audited)
    wanted = LoggedFlow(1, Flow(A, B, "TCP", 80), Direction.EGRESS, OUT_CHAIN, audited)
    assert one(f"{stamp}{prefix}{V4} {TCP}\n") == wanted


@pytest.mark.parametrize("audited", [False, True])
def test_a_rule_of_an_ordered_tier_is_told_with_its_name(audited: bool) -> None:
    chain = "i_rule_0123456789abcdef"
    told = "ClusterNetworkPolicy/guard ingress[2] (deny_all)"
    prefix = log_prefix(Direction.INGRESS, chain, audited, told)
    audit = "audit " if audited else ""
    assert prefix == f"netpolc {audit}ingress {chain} {told}: "
    wanted = LoggedFlow(1, Flow(A, B, "TCP", 80), Direction.INGRESS, chain, audited)
    assert one(f"{prefix}{V4} {TCP}") == wanted
    long = log_prefix(Direction.INGRESS, chain, audited, "x" * 300)
    assert len(reply_prefix(long)) <= 127  # NF_LOG_PREFIXLEN
    assert one(f"{long}{V4} {TCP}") == wanted


@pytest.mark.parametrize("audited", [False, True])
def test_a_reply_is_told_as_the_flow_it_answers(audited: bool) -> None:
    prefix = reply_prefix(log_prefix(Direction.INGRESS, CHAIN, audited))
    assert prefix == f"netpolc reply {'audit ' if audited else ''}ingress {CHAIN}: "
    flow = Flow(B, A, "TCP", 32773)
    assert one(f"{prefix}{V4} {TCP}") == LoggedFlow(1, flow, Direction.INGRESS, CHAIN, audited)
    found = one(f"{prefix}{V4} PROTO=132 ")
    assert isinstance(found, UnreadableLine)
    assert "no SPT" in found.problem


def test_lines_of_others_are_passed_over_and_counted() -> None:
    lines = [
        "[13251.200980] port1 (unregistering): left promiscuous mode",
        f"ufw block: {V4} {TCP}",
        f"someone says: notnetpolc ingress {CHAIN}: {V4} {TCP}",
        f"netpolc ingress other: {V4} {TCP}",
        "",
        f"netpolc ingress {CHAIN}: {V4} {TCP}",
    ]
    assert [found.line for found in flows_from_log(lines)] == [6]


@pytest.mark.parametrize(
    ("packet", "problem"),
    [
        (f"{V4} PROTO=132 ", "no DPT: the kernel did not print the SCTP port of this packet"),
        (
            f"{LINK} SRC=10.244.0.2 DST=10.244.0.3 LEN=40 FRAG:185 PROTO=UDP ",
            "no DPT: the kernel did not print the UDP port of this packet",
        ),
        (f"{V4} PROTO=TCP INCOMPLETE [8 bytes] ", "no DPT"),
        (f"{LINK} SRC=10.244.0.2 DST=10.2", "no PROTO: the line was cut"),
        (LINK, "no SRC, DST, PROTO"),
        (f"{V4} PROTO=TCP SPT=32773 DPT=8", "no DPT"),  # of 80, or of 8080
        (f"{LINK} SRC=10.244.0 DST=10.244.0.3 {TCP}", "must be a valid IP address"),
        (f"{LINK} SRC={A} DST={B6} {TCP}", "different address families"),
        (f"{V4} PROTO=TCP SPT=1 DPT=65536 ", "port between 0 and 65535"),
        (f"{V4} PROTO=TCP SPT=1 DPT=8x ", "DPT=8x is no number"),
        (f"{V4} PROTO=IGMP ", "PROTO=IGMP is no number"),
        (f"{V4} PROTO=256 ", "outside 0-255"),
    ],
)
def test_broken_lines_are_told_with_the_reason(packet: str, problem: str) -> None:
    found = one(f"[1.0] netpolc ingress {CHAIN}: {packet}")
    assert isinstance(found, UnreadableLine)
    assert problem in found.problem
