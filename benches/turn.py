"""The steps of one build, timed: `benches.against` runs this file in the interpreter of each build.

In: the file of a cluster, the number of rounds, some nodes; without nodes the file is not read, and
queries of a matcher are timed. Out: the least CPU seconds of each step as JSON on standard output;
the first round warms caches and does not count. What it imports of
`netpolc` and `benches` is that build's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial

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


def queries() -> Callable[[], dict[str, float]]:
    """What times queries of one matcher, once each, by the code that judges columns."""
    from benches import matcher as rows
    from netpolc.backends.matcher._core import simd_levels

    own, pods = rows.made(simd_levels()[-1], 10_000, 700)
    names = [".".join(map(str, pod.to_bytes(4, "big"))) for pod in pods]
    flows = [(names[n * 7 % 10_000], names[n * 13 % 10_000], "TCP", 80) for n in range(20_000)]
    steps: dict[str, Callable[[], object]] = {
        "20,000 x `verdict(str, str, str, int)`": lambda: [own.verdict(*flow) for flow in flows]
    }
    columns = rows.traffic(pods)
    text, indices = rows.arrow_tables(pods, columns)
    for simd in simd_levels():
        matcher, _ = rows.made(simd, 10_000, 700)
        steps[f"{simd}: 1,000,000 rows of uint32 columns"] = partial(
            matcher.verdicts, *columns.columns
        )
        steps[f"{simd}: of Arrow text columns"] = partial(matcher.verdicts_arrow, text)
        steps[f"{simd}: of Arrow dictionary columns"] = partial(matcher.verdicts_arrow, indices)
    return lambda: {name: timed(step)[0] for name, step in steps.items()}


if __name__ == "__main__":
    file, count, *names = sys.argv[1:]
    once = partial(one_round, file, names) if names else queries()
    rounds = [once() for _ in range(int(count) + 1)][1:]
    print(json.dumps({step: min(own[step] for own in rounds) for step in rounds[0]}))
