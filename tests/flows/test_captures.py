"""Real logs of real packets: what conntrack, ulogd2 and the kernel wrote in a namespace is what was
sent.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.flows.reading import records_of
from tests.helpers.lab import Namespace

pytestmark = pytest.mark.kernel
Sent = tuple[str, str, int, int]
SENTINEL = 4711
"""The port of flows that show that a listener listens, and that it has seen all before them."""
PATIENCE = 60
"""Seconds until a listener that says nothing is a fault."""
RULES = """
table inet seen {
  chain output {
    type filter hook output priority 0
    ct state new log prefix "new: " group 1
  }
}
"""
ULOGD = """
[global]
logfile="{folder}/ulogd.log"
stack=log1:NFLOG,base1:BASE,ifi1:IFINDEX,{filter}{output}
[log1]
group=1
[json1]
file="{folder}/pipe"
sync=1
[emu1]
file="{folder}/pipe"
sync=1
"""
JSON, LIKE_THE_KERNEL = "json1:JSON", "print1:PRINTPKT,emu1:LOGEMU"
TO_THE_KERNEL = RULES.replace("group 1", "").replace("new: ", "MARK: ")
ALL_NAMESPACES = Path("/proc/sys/net/netfilter/nf_log_all_netns")
KERNEL_LOG = Path("/dev/kmsg")


def tcp(source: str, destination: str, port: int) -> Sent:
    """A connection, opened and closed."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family) as server, socket.socket(family) as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((destination, port))
        server.listen()
        client.bind((source, 0))
        client.connect((destination, port))
        return source, destination, 6, port


def udp(source: str, destination: str, port: int) -> Sent:
    """A datagram to a socket that takes it."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    kind = socket.SOCK_DGRAM
    with socket.socket(family, kind) as server, socket.socket(family, kind) as client:
        server.bind((destination, port))
        client.bind((source, 0))
        client.sendto(b"x", (destination, port))
        return source, destination, 17, port


def traffic() -> list[Sent]:
    """Connections of both families and protocols."""
    return [
        tcp("127.0.0.2", "127.0.0.3", 8080),
        tcp("127.0.0.4", "127.0.0.3", 5432),
        udp("127.0.0.2", "127.0.0.5", 53),
        tcp("::1", "::1", 8081),
        udp("::1", "::1", 54),
    ]


@contextmanager
def namespace() -> Iterator[Namespace]:
    """One whose loopback logs and tracks."""
    with Namespace() as own:
        own.run("nft", "-f", "-", text=RULES)
        yield own


def captured(
    own: Namespace, out: int, seen: bytes = str(SENTINEL).encode()
) -> tuple[list[Sent], bytes]:
    """What was sent while somebody wrote to a descriptor, and what was written; `seen` is in lines
    about the sentinel.
    """
    log = b""

    def until_seen(send: Callable[[], object]) -> None:
        nonlocal log
        mark = len(log)
        for _ in range(PATIENCE * 10):
            send()
            while select.select([out], [], [], 0.1)[0]:
                if not (found := os.read(out, 1 << 16)):
                    raise AssertionError("the listener has ended")
                log += found
            if seen in log[mark:] and log.endswith(b"\n"):
                return
        raise AssertionError(f"nothing was logged in {PATIENCE} seconds: {log!r}")

    until_seen(lambda: own.call(lambda: udp("127.0.0.9", "127.0.0.9", SENTINEL)))
    sent = own.call(traffic)
    until_seen(lambda: own.call(lambda: udp("127.0.0.9", "127.0.0.9", SENTINEL)))
    return sent, log


@contextmanager
def listener(own: Namespace, *command: str, **how: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = own.call(lambda: subprocess.Popen(command, **how))
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def short(address: str) -> str:
    """As it was sent to, however a log writes IPv6."""
    return ip_address(address).compressed


def flows(records: list[dict[str, Any]]) -> list[Sent]:
    """Without those that only show that somebody listens."""
    found = [
        (short(own["src"]), short(own["dst"]), own["protocol"], own["port"]) for own in records
    ]
    return [own for own in found if own[3] != SENTINEL]


@pytest.mark.skipif(shutil.which("conntrack") is None, reason="needs Debian's conntrack")
def test_conntrack(tmp_path: Path) -> None:
    with namespace() as own:
        command = ("conntrack", "-E", "-o", "timestamp")
        with listener(own, *command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            sent, log = captured(own, process.stdout.fileno())
            process.terminate()
            process.wait()
            process.stdout.close()
    records, _ = records_of(tmp_path, log)
    assert flows(records) == sent
    assert {record["verdict"] for record in records} == {"forwarded"}
    assert all("ts" in record for record in records)


@contextmanager
def ulogd(own: Namespace, folder: Path, output: str, names: bool) -> Iterator[int]:
    """Where ulogd2 writes to."""
    os.mkfifo(folder / "pipe")
    configuration = folder / "ulogd.conf"
    filter_ = "ip2str1:IP2STR," if names else ""
    configuration.write_text(ULOGD.format(folder=folder, filter=filter_, output=output))
    out = os.open(folder / "pipe", os.O_RDWR)
    try:
        with listener(own, "ulogd", "-c", str(configuration)):
            yield out
    finally:
        os.close(out)


needs_ulogd = pytest.mark.skipif(
    shutil.which("ulogd") is None, reason="needs Debian's ulogd2 and ulogd2-json"
)


@needs_ulogd
@pytest.mark.parametrize("names", [True, False])
def test_ulogd(names: bool, tmp_path: Path) -> None:
    with namespace() as own, ulogd(own, tmp_path, JSON, names) as out:
        sent, log = captured(own, out)
    records, _ = records_of(tmp_path, log)
    if names:
        assert flows(records) == sent
        assert {own["is_reply"] for own in records if own["protocol"] == 6} == {False}
    else:
        ports = [own["port"] for own in records if own["port"] != SENTINEL]
        assert ports == [own[3] for own in sent]
        assert {own["problem"] for own in records} == {
            "no address: ulogd2 wrote it without its IP2STR filter"
        }
    assert not any("verdict" in own for own in records)


def check_kernel_lines(records: list[dict[str, Any]], sent: list[Sent]) -> None:
    assert flows(records) == sent
    assert {own["is_reply"] for own in records if own["protocol"] == 6} == {False}
    assert not any("is_reply" in own for own in records if own["protocol"] == 17)
    assert not any("verdict" in own for own in records), "whoever logs may be of another mind"


@needs_ulogd
def test_ulogd_in_the_words_of_the_kernel(tmp_path: Path) -> None:
    with namespace() as own, ulogd(own, tmp_path, LIKE_THE_KERNEL, True) as out:
        sent, log = captured(own, out, f"DPT={SENTINEL} ".encode())
    check_kernel_lines(records_of(tmp_path, log)[0], sent)


@contextmanager
def every_namespace_logs() -> Iterator[int]:
    """The kernel's log from now on, with what namespaces log too; for one test at a time, as the
    setting is the host's.
    """
    out = os.open(KERNEL_LOG, os.O_RDONLY)
    try:
        flock(out, LOCK_EX)
        before = ALL_NAMESPACES.read_text()
        os.lseek(out, 0, os.SEEK_END)
        ALL_NAMESPACES.write_text("1")
        try:
            yield out
        finally:
            ALL_NAMESPACES.write_text(before)
    finally:
        os.close(out)


@pytest.mark.skipif(
    not (os.access(ALL_NAMESPACES, os.W_OK) and os.access(KERNEL_LOG, os.R_OK)),
    reason="needs net.netfilter.nf_log_all_netns and /dev/kmsg, which containers do not have",
)
def test_the_log_of_the_kernel(tmp_path: Path) -> None:
    mark = f"netpolc-test-{os.getpid()}"
    with Namespace() as own, every_namespace_logs() as out:
        own.run("nft", "-f", "-", text=TO_THE_KERNEL.replace("MARK", mark))
        sent, log = captured(own, out, f"DPT={SENTINEL} ".encode())
    ours = [line for line in log.split(b"\n") if mark.encode() in line]
    lines = b"".join(line.partition(b";")[2] + b"\n" for line in ours)  # as dmesg prints them
    check_kernel_lines(records_of(tmp_path, lines)[0], sent)
