"""The rulesets of nodes in one build, timed: `benches.nodes` runs this file in the interpreter of
each build.

In: the file of a cluster, and how many of its nodes. Out: CPU seconds of lowering, of text and
digest and of the write, all nodes together, as JSON on standard output. What it imports of
`netpolc` and `benches` is that build's own. Nothing is refused.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import netpolc
from benches.timing import gc_off


def seconds(file: str, count: int) -> dict[str, float]:
    """CPU seconds of each step over nodes that are evenly spread."""
    program = netpolc.compile(netpolc.load([file]))
    names = sorted(program.cluster.nodes)
    nodes = [names[number * len(names) // count] for number in range(count)]
    lower = text = write = 0.0
    clock = time.process_time
    with tempfile.TemporaryDirectory() as folder, gc_off():
        for node in nodes:
            start = clock()
            ruleset = program.ruleset(node=node)
            lowered = clock()
            data = ruleset.text().encode()
            worded = clock()
            Path(folder, "ruleset").write_bytes(data)
            lower, text, write = (
                lower + lowered - start,
                text + worded - lowered,
                write + clock() - worded,
            )
    return {"lower": lower, "text": text, "write": write}


if __name__ == "__main__":
    print(json.dumps(seconds(sys.argv[1], int(sys.argv[2]))))
