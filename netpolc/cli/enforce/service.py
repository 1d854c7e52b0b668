"""Tells systemd how a service is doing (sd_notify(3)), where `NOTIFY_SOCKET` names its socket.

A socket that cannot be used is said once, and nothing else ends for it.
"""

from __future__ import annotations

import os
import socket
import time
from functools import cache

from netpolc.cli.terminal import warn

_TIMEOUT = 1.0
"""Seconds that a socket nobody reads may hold up the watch."""


def tell_systemd(*assignments: str) -> None:
    """Send assignments such as `READY=1`; without `NOTIFY_SOCKET` nobody is there to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    lines = (assignment.replace("\n", " ") for assignment in assignments)
    message = "\n".join(lines).encode(errors="backslashreplace")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            notify.settimeout(_TIMEOUT)
            # A leading @ stands for the zero byte of the abstract namespace.
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.sendall(message)
    except OSError as error:
        _say_once(f"netpolc: cannot tell systemd by NOTIFY_SOCKET: {error.strerror or error}")


@cache
def _say_once(text: str) -> None:
    warn(text)


def reloading() -> None:
    """Work has begun that `READY=1` will end."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    tell_systemd("RELOADING=1", f"MONOTONIC_USEC={now}")
