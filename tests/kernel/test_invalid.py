"""What connection tracking calls invalid, and what `--deny reject` answers.

In: a pod with an open connection to a server outside; a segment of it out of its window, or one of
no connection. Out: whether the connection lives, what is counted, who is answered.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import time

import pytest

import netpolc
from netpolc import Options
from tests.helpers.lab import PodLab, unavailable
from tests.helpers.manifests import namespace, node, pod, policy

pytestmark = pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))

CLIENT, OPEN, SERVER = "10.64.0.20", "10.64.0.21", "203.0.113.7"
ACK, PUSH_ACK, SYN, RESET = 0x10, 0x18, 0x02, 0x04
FAR = 200_000_000


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def segment(to: str, port: int, numbers: tuple[int, int], flags: int) -> bytes:
    """A segment from the server's port 443."""
    ends = socket.inet_aton(SERVER) + socket.inet_aton(to)
    head = struct.pack("!HHIIBBHHH", 443, port, *numbers, 0x50, flags, 502, 0, 0)
    sum_of = checksum(ends + struct.pack("!HH", 6, len(head)) + head)
    head = head[:16] + struct.pack("!H", sum_of) + head[18:]
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(head), 1, 0, 64, 6, 0) + ends + head


def counts(lab: PodLab) -> dict[str, int]:
    listed = lab.node.call(
        lambda: (
            subprocess.run(
                ["nft", "-j", "list", "counters", "table", "inet", "netpolc"],
                capture_output=True,
                check=True,
            ).stdout
        )
    )
    found = [own["counter"] for own in json.loads(listed)["nftables"] if "counter" in own]
    return {own["name"]: own["packets"] for own in found if not own["name"].startswith("meta")}


class Wire:
    """The server's end: raw packets out, and what comes in from a pod."""

    def __init__(self, lab: PodLab) -> None:
        server = lab.namespace("server")
        self._out = server.call(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        )
        self._seen = server.call(
            lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        )

    def send(self, to: str, port: int, numbers: tuple[int, int], flags: int) -> list[int]:
        """The flags of the TCP segments that came from there in the next moment."""
        self.sent_by(to)
        self._out.sendto(segment(to, port, numbers, flags), (to, 0))
        time.sleep(0.2)
        return [own[3] for own in self.sent_by(to)]

    def sent_by(self, source: str) -> list[tuple[int, int, int, int]]:
        """Sequence number, acknowledged number, bytes and flags of segments since the last call."""
        found = []
        while select.select([self._seen], [], [], 0.1)[0]:
            frame = self._seen.recv(65536)
            if frame[23] == 6 and frame[26:30] == socket.inet_aton(source):
                _, _, sequence, acknowledged, offset, flags = struct.unpack("!HHIIBB", frame[34:48])
                size = struct.unpack("!H", frame[16:18])[0] - 20 - (offset >> 4) * 4
                found.append((sequence, acknowledged, size, flags))
        return found

    def close(self) -> None:
        self._out.close()
        self._seen.close()


def ruleset(options: Options) -> str:
    closed = policy(
        "no-ingress", podSelector={"matchLabels": {"name": "client"}}, policyTypes=["Ingress"]
    )
    pods = [pod("client", CLIENT), pod("open", OPEN)]
    objects = [namespace("default"), node("node-a", "192.0.2.1"), *pods, closed]
    return netpolc.compile(netpolc.load_objects(objects)).ruleset("node-a", options).text()


@pytest.mark.parametrize(
    "options",
    [
        Options(),
        Options(deny="reject"),
        Options(hook="postrouting"),
        Options(deny="reject", established="recheck"),
        Options(audit=True),
    ],
    ids=Options.describe,
)
def test_a_late_segment_kills_no_connection_and_is_no_denial(options: Options) -> None:
    with PodLab({"client": [CLIENT], "open": [OPEN]}, {"server": [SERVER]}) as lab:
        lab.serve("server", "TCP", 443)
        lab.node.load(ruleset(options))
        wire = Wire(lab)
        with lab.connection("client", SERVER, "TCP", 443) as flow:
            assert flow.echo(b"x" * 2000)
            segments = wire.sent_by(CLIENT)
            acknowledged = max(own[1] for own in segments)
            wanted = max(own[0] + own[2] for own in segments)
            late = (acknowledged + FAR) & 0xFFFFFFFF, wanted
            answers = wire.send(CLIENT, flow.port, late, PUSH_ACK)
            assert not any(flags & RESET for flags in answers)
            assert flow.echo(b"alive?")
        found = counts(lab)
        assert found.pop("invalid") == 1
        assert set(found.values()) == {0}
        wire.close()


def test_only_what_would_begin_a_connection_is_answered() -> None:
    with PodLab({"client": [CLIENT], "open": [OPEN]}, {"server": [SERVER]}) as lab:
        lab.node.load(ruleset(Options(deny="reject")))
        wire = Wire(lab)
        assert [flags & RESET for flags in wire.send(CLIENT, 80, (1, 0), SYN)] == [RESET]
        assert wire.send(CLIENT, 81, (1, 7), ACK) == []
        assert sum(own for name, own in counts(lab).items() if name.startswith("drop_")) == 2
        wire.close()


def test_what_is_invalid_still_reaches_a_pod_that_nobody_isolates() -> None:
    with PodLab({"client": [CLIENT], "open": [OPEN]}, {"server": [SERVER]}) as lab:
        lab.node.load(ruleset(Options(deny="reject")))
        heard = lab.namespace("open").call(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        )
        wire = Wire(lab)
        with heard:
            wire.send(OPEN, 80, (1, 7), SYN | ACK | RESET)  # no flags of any connection
            assert select.select([heard], [], [], 0.5)[0]
        assert wire.send(CLIENT, 80, (1, 7), SYN | ACK | RESET) == []
        assert counts(lab)["invalid"] == 1
        wire.close()
