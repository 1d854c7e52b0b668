"""The steps of one build, timed: `benches.against` runs this file in the interpreter of each build.

In: the file of a cluster, the number of rounds, some nodes. Out: the least CPU seconds of each step
as JSON on standard output; the first round warms caches and does not count. What it imports of
`netpolc` and `benches` is that build's own.
"""

from __future__ import annotations

import json
import sys

import netpolc
from benches.steps import forget_memos
from benches.timing import timed
from netpolc.backends.matcher import Matcher


def one_round(path: str, nodes: list[str]) -> dict[str, float]:
    """CPU seconds of each step, once, with the memos of functions emptied before it."""
    forget_memos()
    load, snapshot = timed(lambda: netpolc.load([path]))
    forget_memos()
    compiled, program = timed(lambda: netpolc.compile(snapshot))
    rulesets = [_ruleset(program, node) for node in nodes]
    forget_memos()
    matcher, _ = timed(lambda: Matcher(program))
    first, *others = rulesets
    return {
        "load": load,
        "compile": compiled,
        "first ruleset of a fresh Program": first,
        "next node's ruleset": sum(others) / len(others),
        "load + compile + one ruleset": load + compiled + first,
        "`Matcher(program)`": matcher,
    }


def _ruleset(program: netpolc.Program, node: str) -> float:
    forget_memos()
    return timed(lambda: program.ruleset(node=node).text())[0]


if __name__ == "__main__":
    file, count, *names = sys.argv[1:]
    rounds = [one_round(file, names) for _ in range(int(count) + 1)][1:]
    print(json.dumps({step: min(own[step] for own in rounds) for step in rounds[0]}))
