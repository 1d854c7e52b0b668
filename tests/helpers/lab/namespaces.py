"""Unnamed network namespaces, held by this process and gone with it.

In: functions and commands to run inside a namespace, ruleset text for a router. Out: their
results. Refused: a command that fails (`LabError` with what it printed) and a ruleset that the
kernel or libnftables rejects (`RulesetError` with the message).

A namespace is kept alive by one file descriptor and by the sockets opened in it, never by a mount
below /var/run/netns, so nothing outlives the process, even one that was killed.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import Any, TypeVar

from tests.helpers.lab.closing import Closes

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER = 12
# linux/netfilter/nfnetlink_conntrack.h: NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE
CONNTRACK_DELETE = 1 << 8 | 2
NLMSG_ERROR = 2
REQUEST_ACKNOWLEDGED = 0x1 | 0x4

_libc = ctypes.CDLL(None, use_errno=True)


class LabError(Exception):
    """The laboratory itself failed: nothing can be said about the ruleset under test."""


class RulesetError(LabError):
    """libnftables or the kernel refused a ruleset; the text is their message."""


def _checked(result: int, call: str) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")


def _created() -> int:
    _checked(_libc.unshare(CLONE_NEWNET), "unshare")
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _in_thread(function: Callable[[], T]) -> T:
    """The result of `function` run in a thread of its own, whose namespace it may change."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join()
    return outcome.result()


class Namespace(Closes):
    """A new network namespace with its loopback up and IPv6 silent and free of address checks."""

    def __init__(self) -> None:
        self._fd = _in_thread(_created)
        try:
            self.sysctl(
                {
                    # 1 = none: without link-local addresses the kernel sends no packets of its own.
                    "net/ipv6/conf/default/addr_gen_mode": 1,
                    "net/ipv6/conf/default/accept_dad": 0,
                    "net/ipv6/conf/default/dad_transmits": 0,
                    "net/ipv6/conf/all/accept_dad": 0,
                    "net/ipv6/conf/default/accept_ra": 0,
                }
            )
            self.ip("link set lo up")
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> str:
        """Where other processes can open the namespace for as long as this one lives."""
        if self._fd < 0:
            raise LabError("the namespace is closed")
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def call(self, function: Callable[[], T]) -> T:
        """Run `function` in a thread inside the namespace; sockets it opens stay there."""
        if self._fd < 0:
            raise LabError("the namespace is closed")

        def inside() -> T:
            _checked(_libc.setns(self._fd, CLONE_NEWNET), "setns")
            return function()

        return _in_thread(inside)

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command inside and return its output; `text` is its standard input."""

        # A child is born in the namespace of the thread that forks it.
        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(command, input=text, capture_output=True, text=True, check=False)

        done = self.call(run)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"{' '.join(command)} (exit {done.returncode}): {said}")
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run several `ip` commands, given without the word `ip`, in one start of the program."""
        self.run("ip", "-batch", "-", text="\n".join(lines) + "\n")

    def sysctl(self, values: Mapping[str, int | str]) -> None:
        """Write settings named by their path below /proc/sys, for example net/ipv4/ip_forward."""

        def write() -> None:
            for name, value in values.items():
                with open(f"/proc/sys/{name}", "w", encoding="ascii") as setting:
                    setting.write(str(value))

        self.call(write)

    def read(self, path: str) -> str:
        """Read a file of /proc as a thread inside the namespace sees it."""

        def text() -> str:
            with open(path, encoding="ascii") as file:
                return file.read()

        return self.call(text)

    def close(self) -> None:
        """Let go of the namespace; it vanishes with the last socket opened in it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Router(Namespace):
    """A namespace that forwards both families and carries the ruleset under test."""

    def __init__(self) -> None:
        super().__init__()
        self._nft: Any = None
        self._conntrack: socket.socket | None = None
        try:
            self.sysctl(
                {
                    "net/ipv4/ip_forward": 1,
                    "net/ipv6/conf/all/forwarding": 1,
                    "net/ipv6/conf/default/forwarding": 1,
                    "net/ipv4/conf/all/rp_filter": 0,
                    "net/ipv4/conf/default/rp_filter": 0,
                    "net/ipv4/conf/all/send_redirects": 0,
                    "net/ipv4/conf/default/send_redirects": 0,
                }
            )
            self._nft = self.call(lambda: importlib.import_module("nftables").Nftables())
        except BaseException:
            self.close()
            raise

    def load(self, text: str) -> None:
        """Load a ruleset as `nft -f` would: one transaction, added to what is there."""
        status, _, error = self.call(lambda: self._nft.cmd(text))
        if status != 0:
            raise RulesetError(str(error).strip() or f"libnftables returned {status}")

    def flush(self) -> None:
        """Remove every table."""
        self.load("flush ruleset")

    def ruleset(self) -> str:
        """The ruleset in force, as `nft list ruleset` prints it."""
        return self.run("nft", "list", "ruleset")

    def forget_connections(self) -> None:
        """Empty the connection table: every packet that follows is new."""
        if self._conntrack is None:
            self._conntrack = self.call(
                lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
            )
        # nlmsghdr, then a nfgenmsg of zeros: every family of this namespace.
        request = struct.pack("=IHHIII", 20, CONNTRACK_DELETE, REQUEST_ACKNOWLEDGED, 1, 0, 0)
        self._conntrack.send(request)
        answer = self._conntrack.recv(4096)
        kind, error = struct.unpack_from("=4xH10xi", answer)
        if kind != NLMSG_ERROR or error != 0:
            raise LabError(f"the connection table was not emptied: {os.strerror(-error)}")

    def close(self) -> None:
        """Let go of the namespace, its netlink sockets and so the ruleset."""
        self._nft = None
        if self._conntrack is not None:
            self._conntrack.close()
            self._conntrack = None
        super().close()


def veth(
    a: Namespace,
    name_a: str,
    b: Namespace,
    name_b: str,
    *,
    addresses: tuple[str, str] | None = None,
) -> None:
    """Join two namespaces with a veth pair, both ends up; `addresses` are link-layer ones."""
    hardware = [f"address {address} " for address in addresses] if addresses else ["", ""]
    a.ip(
        f"link add {name_a} {hardware[0]}type veth peer name {name_b} {hardware[1]}netns {b.path}",
        f"link set {name_a} up",
    )
    b.ip(f"link set {name_b} up")
