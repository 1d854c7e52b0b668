"""Drawings by Graphviz, where it is installed.

Comes in: a graph in DOT. Goes out: SVG. Refused (`SystemRefusal`): no `dot` on the path, a drawing
that takes too long, whatever `dot` itself refuses.
"""

from __future__ import annotations

import subprocess

from netpolc.errors import SystemRefusal, printable

_PATIENCE = 60.0
"""Seconds; beyond a few thousand arrows `dot` takes hours, and nobody can read what it draws."""


def svg(graph: str, patience: float = _PATIENCE) -> str:
    """The graph, drawn."""
    try:
        done = subprocess.run(
            ["dot", "-Tsvg"],
            input=graph.encode(),
            capture_output=True,
            timeout=patience,
            check=False,
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
