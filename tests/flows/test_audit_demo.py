"""The log of the demonstration: its commands find the leak, the cut, and policies for the rest."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from examples.audit_demo import COMMANDS, lines, write_log
from tests.cli.invocation import invoke
from tests.helpers.scenarios import ROOT

COUNT = 3_000


def test_the_commands_of_the_demonstration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    log = tmp_path / "flows.json"
    write_log(log, COUNT)
    audit, against, recommend = (
        command.format(log=log, folder=tmp_path).split() for command in COMMANDS
    )
    seen = Counter(
        (flow["verdict"], flow["l4"].get("TCP", {}).get("destination_port"))
        for flow in (json.loads(line)["flow"] for line in lines(COUNT))
        if flow["source"].get("pod_name") == "client"
    )
    outcome = invoke(*audit, "-o", "json")
    rows = json.loads(outcome.stdout)["flows"]
    leaked = [row["records"] for row in rows if row["finding"] == "denied, yet forwarded"]
    assert (outcome.code, leaked) == (1, [seen["FORWARDED", 5432]])
    outcome = invoke(*against, "-o", "json")
    changes = {row["change"] for row in json.loads(outcome.stdout)["flows"]}
    assert (outcome.code, changes) == (1, {"cut"})
    outcome = invoke(*recommend)
    assert outcome.code == 0
    assert (tmp_path / "recommended.yaml").read_text().count("kind: NetworkPolicy") == 4
