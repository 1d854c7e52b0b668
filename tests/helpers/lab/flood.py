"""Sends one frame again and again, as fast as one processor can.

As a program: the descriptor of a packet socket, the seconds, the frame in hexadecimal digits, of
TCP or UDP over IPv4 without options. Each frame has another source port, so that it is the first
of a connection. Prints how many were sent.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from time import monotonic, sleep

from tests.helpers.lab.injector import ROUTER_MAC, SOURCE_MAC, Flow, Injector
from tests.helpers.lab.packets import build, read_tag

_SOURCE_PORT = 34  # where it stands in such a frame
_PORTS = [number.to_bytes(2, "big") for number in range(1024, 65000)]
_TAG = 77


class Flood:
    """What came of a flood: how many packets were sent, and how many arrived."""

    sent = arrived = 0


@contextmanager
def flooding(injector: Injector, flow: Flow, seconds: float) -> Iterator[Flood]:
    """Send packets of a flow for some seconds while the block runs; counted when it is left."""
    source, destination, protocol, port = flow
    link = bytes.fromhex((ROUTER_MAC + SOURCE_MAC).replace(":", ""))
    addresses = ip_address(source).packed, ip_address(destination).packed
    frame = build(link, *addresses, protocol, port, source_port=1024, tag=_TAG)
    number = injector.sender.fileno()
    command = [sys.executable, "-m", __name__, str(number), str(seconds), frame.hex()]
    found = Flood()
    with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[number]) as process:
        try:
            yield found
            found.sent = int(process.communicate()[0])
        finally:
            process.kill()
    sleep(0.1)
    with suppress(BlockingIOError):
        while True:
            found.arrived += read_tag(injector.receiver.recv(256, socket.MSG_DONTWAIT)) == _TAG


def _send(number: int, seconds: float, frame: bytes) -> int:
    head, rest = frame[:_SOURCE_PORT], frame[_SOURCE_PORT + 2 :]
    frames = [head + port + rest for port in _PORTS]
    sent, until = 0, monotonic() + seconds
    with socket.socket(fileno=number) as packets:
        while monotonic() < until:
            for own in frames[:1000]:
                packets.send(own)
            frames = frames[1000:] + frames[:1000]
            sent += 1000
    return sent


if __name__ == "__main__":
    print(_send(int(sys.argv[1]), float(sys.argv[2]), bytes.fromhex(sys.argv[3])))
