"""Drawings by Graphviz, where it is installed.

Comes in: a graph in DOT. Goes out: SVG. Refused (`SystemRefusal`): no `dot` on the path, a drawing
that takes too long, whatever `dot` itself refuses. Whatever ends netpolc ends `dot` too.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

from netpolc.core.errors import SystemRefusal, printable

_PATIENCE = 60.0
"""Seconds; beyond a few thousand arrows `dot` takes hours, and nobody can read what it draws."""

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def svg(graph: str, patience: float = _PATIENCE) -> str:
    """The graph, drawn."""
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"],
            input=graph.encode(),
            capture_output=True,
            timeout=patience,
            check=False,
            preexec_fn=_ends_with_its_parent(),
        )
    except FileNotFoundError:
        message = "svg needs Graphviz: install it (apt install graphviz), or take -o dot"
        raise SystemRefusal(message) from None
    except subprocess.TimeoutExpired:
        raise SystemRefusal(
            f"dot did not draw {graph.count(' -> ')} arrows in {patience:.0f} seconds: ask for "
            "less (--namespace, --workload, --port), or take -o dot and draw with sfdp"
        ) from None
    if done.returncode:
        said = printable(done.stderr.decode(errors="replace").strip())
        raise SystemRefusal(f"dot refused the graph: {said or f'exit code {done.returncode}'}")
    return done.stdout.decode()


def _ends_with_its_parent() -> Callable[[], None] | None:
    """What a child does before it becomes `dot`, so that not even SIGKILL of netpolc leaves it."""
    if sys.platform != "linux":
        return None
    parent, libc = os.getpid(), ctypes.CDLL(None)

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it was ended meanwhile
            os._exit(1)

    return ask_the_kernel
