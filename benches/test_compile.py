"""From a Snapshot to a Program to one node's ruleset, relative to `json.loads` of the input."""

from __future__ import annotations

import json
from pathlib import Path

import netpolc
from benches.conftest import Compare
from benches.pods import node_name
from benches.steps import forget_memos, tuples


def test_compile(compare: Compare, cluster: Path) -> None:
    data = cluster.read_bytes()
    snapshot = netpolc.load([str(cluster)])
    program = compare(lambda: netpolc.compile(snapshot), lambda: json.loads(data))
    program.verify()
    assert tuples(program) > len(snapshot.policies)


def test_ruleset(compare: Compare, cluster: Path) -> None:
    data = cluster.read_bytes()
    program = netpolc.compile(netpolc.load([str(cluster)]))

    def emit() -> str:
        forget_memos()
        text = program.ruleset(node=node_name(1)).text()
        assert isinstance(text, str)
        return text

    text = compare(emit, lambda: json.loads(data))
    assert "hook forward" in text
    assert text == emit()
