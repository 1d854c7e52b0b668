"""What tests of `apply` share: a command that goes on, what it leaves, what `status` says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import THREE_TIER, netpolc

NODE = (THREE_TIER, "--node", "node-a")


def started(router: Router, *arguments: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netpolc", *arguments]
    return router.call(
        lambda: subprocess.Popen(  # type: ignore[call-overload]
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options
        )
    )


def eventually(condition: Callable[[], bool], seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def guards(router: Router) -> list[int]:
    """Guards of this namespace (others may run at the same time)."""
    namespace = router.call(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"netpolc.backends.nft.rollout.guard" in words:
                found.append((int(entry.name), os.stat(entry / "ns" / "net").st_ino))
        except OSError:  # it ended in the meantime
            continue
    return [process for process, own in found if own == namespace]


def drift(router: Router, *paths: str) -> list[str]:
    found = netpolc(router, "status", *paths, "-o", "json")
    words: list[str] = json.loads(found.stdout)["drift"]
    assert found.returncode == (1 if words else 0)
    return words
