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
import time
from collections.abc import Callable

from netpolc.cli.terminal import Report, progress
from netpolc.core.errors import SystemRefusal, printable

_PATIENCE = 60.0
"""Seconds; beyond a few thousand arrows `dot` takes hours, and nobody can read what it draws."""

_STEP = 0.5
"""Seconds between two looks at how long it takes."""
_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent ends."""


def svg(graph: str, patience: float = _PATIENCE) -> str:
    """The graph, drawn; a bar shows how much of the patience is left."""
    try:
        dot = subprocess.Popen(
            ["dot", "-Tsvg"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=_ends_with_its_parent(),
        )
    except FileNotFoundError:
        message = "svg needs Graphviz: install it (apt install graphviz), or take -o dot"
        raise SystemRefusal(message) from None
    with dot, progress("drawing") as report:
        try:
            drawn, told = _drawn(dot, graph.encode(), patience, report)
        finally:  # whatever ended the waiting
            if dot.poll() is None:
                dot.kill()
    if dot.returncode:
        said = printable(told.decode(errors="replace").strip())
        raise SystemRefusal(f"dot refused the graph: {said or f'exit code {dot.returncode}'}")
    return drawn.decode()


def _drawn(
    dot: subprocess.Popen[bytes], graph: bytes, patience: float, report: Report
) -> tuple[bytes, bytes]:
    """What `dot` prints, on standard output and standard error."""
    started = time.monotonic()
    rest: bytes | None = graph
    while True:
        waited = time.monotonic() - started
        report(int(waited * 10), int(patience * 10))
        try:
            return dot.communicate(rest, min(_STEP, max(patience - waited, 0.0)))
        except subprocess.TimeoutExpired:
            rest = None  # it goes on with what it was given
            if waited >= patience:
                raise SystemRefusal(
                    f"dot did not draw {graph.count(b' -> ')} arrows in {patience:.0f} seconds: "
                    "ask for less (--namespace, --workload, --port, --group namespace), or take "
                    "-o dot and draw with sfdp"
                ) from None


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
