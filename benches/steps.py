"""One compilation taken apart into the steps that are timed: load, compile, emit.

In: the file of a cluster. Out: CPU seconds of each step and of the anchor, `json.loads` of the same
bytes, all in one round. Cold means: every memo of netpolc's functions is emptied before each step,
and the first ruleset comes from a Program made a moment ago. What a Program itself remembers after
its first ruleset stays for the following ones, and these are reported apart. Refused: an empty
result, which would time nothing.
"""

from __future__ import annotations

import functools
import gc
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import netpolc
from benches.pods import node_name
from benches.timing import timed
from benches.workloads import SIZES, Size, cached
from netpolc.core.ir import ANY

NODES = 6


@dataclass(frozen=True, slots=True)
class Round:
    """CPU seconds of one round, and how large its result was."""

    anchor: float
    unit: float
    """What `json.loads` needs for a byte of the smallest cluster, which fits in the cache."""
    load: float
    compile: float
    first_ruleset: float
    next_ruleset: float
    """The median over further nodes of the same Program."""
    tuples: int


def forget_memos() -> None:
    """Empty every `functools.cache` of netpolc's modules."""
    for found in gc.get_objects():
        if isinstance(found, functools._lru_cache_wrapper) and str(found.__module__).startswith(
            "netpolc"
        ):
            found.cache_clear()


def nodes_of(size: Size) -> list[str]:
    """Some nodes, evenly spread."""
    count = min(NODES, size.nodes)
    return [node_name(number * size.nodes // count) for number in range(count)]


def one_round(path: Path, nodes: list[str]) -> Round:
    """All steps once, after the anchor; `nodes[0]` gets the first ruleset."""
    small = cached(SIZES["S"])
    unit = time_json(small) / small.stat().st_size
    anchor = time_json(path)
    forget_memos()
    load, snapshot = timed(lambda: netpolc.load([str(path)]))
    forget_memos()
    compiled, program = timed(lambda: netpolc.compile(snapshot))
    rulesets = [time_ruleset(program, node) for node in nodes]
    return Round(anchor, unit, load, compiled, rulesets[0], median(rulesets[1:]), tuples(program))


def time_json(path: Path) -> float:
    """CPU seconds of `json.loads` of a file's bytes, reading not included: the lower of two runs.

    The first run also gets the memory from the machine (on a virtual one at three times the cost
    of the parsing itself), which would flatter whatever is compared with it.
    """
    data = path.read_bytes()
    runs = []
    for _ in range(2):
        seconds, value = timed(lambda: json.loads(data))
        _require(value["items"], f"{path} has no items")
        del value
        runs.append(seconds)
    return min(runs)


def time_ruleset(program: netpolc.Program, node: str) -> float:
    """CPU seconds from a Program to the text of one node's ruleset."""
    forget_memos()
    seconds, text = timed(lambda: program.ruleset(node=node).text())
    _require("chain" in text, f"the ruleset of {node} has no chain")
    return seconds


def tuples(program: netpolc.Program) -> int:
    """How large a compilation's result is.

    Every rule of every combination, plus every element of the distinct identity sets, CIDR sets
    and port sets that the rules are made of.
    """
    lists = [tier.rules for own in program.combinations for tier in own.tiers]
    rules = {id(rule): rule.match for rules in lists for rule in rules}
    peers = {match.identities for match in rules.values() if match.identities is not ANY}
    networks = {match.networks for match in rules.values() if match.networks is not ANY}
    ports = {match.ports for match in rules.values() if match.ports is not ANY}
    elements = sum(map(len, peers)) + sum(len(own.spans) for own in networks | ports)
    return elements + sum(map(len, lists))


def _require(condition: object, message: str) -> None:
    if not condition:
        raise ValueError(message)
