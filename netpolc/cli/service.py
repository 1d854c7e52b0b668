"""Tells systemd how a service is doing (sd_notify(3)), where `NOTIFY_SOCKET` names its socket."""

from __future__ import annotations

import os
import socket
import time


def tell_systemd(*assignments: str) -> None:
    """Send assignments such as `READY=1`; without `NOTIFY_SOCKET` nobody is there to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        # A leading @ stands for the zero byte of the abstract namespace.
        notify.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        notify.sendall("\n".join(assignments).encode())


def reloading() -> None:
    """Work has begun that `READY=1` will end."""
    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    tell_systemd("RELOADING=1", f"MONOTONIC_USEC={now}")
