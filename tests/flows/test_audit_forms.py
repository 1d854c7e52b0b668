"""The forms of an audit that are more than text: Parquet, SARIF, a bar on a terminal."""

from __future__ import annotations

import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.invocation import Outcome, invoke
from tests.cli.test_terminal import on_terminal
from tests.findings.test_formats import SCHEMA
from tests.helpers.scenarios import ROOT

EXAMPLE = ROOT / "examples" / "three-tier"
POLICIES = ("--policies", str(EXAMPLE))
PROPOSED = (
    *("--policies", str(EXAMPLE / "policies.yaml")),
    *("--against", str(ROOT / "examples" / "proposed.yaml")),
    *("--with", str(EXAMPLE / "pods.yaml"), "--with", str(EXAMPLE / "namespaces.yaml")),
)
HEADER = "ts,src,dst,protocol,port,verdict,direction,is_reply,packets,bytes"
LEAK = "2026-01-01T00:00:00Z,10.244.1.61,10.244.1.31,tcp,5432,forwarded,ingress,false,3,180"
AGAIN = "2026-01-01T00:00:09.5Z,10.244.1.61,10.244.1.31,tcp,5432,forwarded,ingress,false,2,20"
NEEDED = "2026-01-01T00:00:01Z,10.244.1.21,10.244.1.31,tcp,5432,forwarded,ingress,false,,"
PING = "2026-01-01T00:00:02Z,203.0.113.7,10.244.1.53,icmp,,forwarded,ingress,false,,"


def log(folder: Path, *rows: str) -> str:
    path = folder / "log.csv"
    path.write_text("".join(f"{row}\n" for row in (HEADER, *rows)))
    return str(path)


def to_file(folder: Path, form: str, *arguments: str) -> tuple[Outcome, Path]:
    """An audit written to a file."""
    path = folder / "out"
    return invoke("audit", *arguments, "-o", form, "--file", str(path)), path


def results(*arguments: str) -> list[dict[str, Any]]:
    """What a SARIF log says: rule, level, and where."""
    outcome = invoke("audit", *arguments, "-o", "sarif")
    document = json.loads(outcome.stdout)
    jsonschema.Draft7Validator(SCHEMA).validate(document)
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
    found: list[dict[str, Any]] = run["results"]
    return found


def place(location: dict[str, Any]) -> str:
    own = location["physicalLocation"]
    return f"{own['artifactLocation']['uri']}:{own['region']['startLine']}"


def test_parquet_has_a_row_a_pair(tmp_path: Path) -> None:
    outcome, path = to_file(
        tmp_path, "parquet", log(tmp_path, LEAK, NEEDED, PING, AGAIN), *POLICIES
    )
    assert outcome.code == 1
    found = pq.read_table(path)
    leak, *others = found.to_pylist()
    assert leak == {
        "source": "other/client[Pod]",
        "destination": "production/database-1[Pod]",
        "protocol": "TCP",
        "port": 5432,
        "policies": "deny",
        "log": "forwarded",
        "seen_at": "destination",
        "finding": "denied, yet forwarded",
        "change": None,
        "records": 2,
        "packets": 5,
        "bytes": 200,
        "first": datetime(2026, 1, 1, tzinfo=UTC),
        "last": datetime(2026, 1, 1, 0, 0, 9, 500_000, tzinfo=UTC),
        "example_source": "10.244.1.61",
        "example_destination": "10.244.1.31",
        "because": [],
    }
    assert {(row["source"], row["port"], row["packets"], row["finding"]) for row in others} == {
        ("production/backend-1[Pod]", 5432, None, None),
        ("outside", None, None, None),
    }
    about = json.loads(found.schema.metadata[b"netpolc"])
    assert (about["records"], about["outcomes"]["denied"]) == (4, 2)


def test_parquet_has_the_same_columns_whatever_was_found(tmp_path: Path) -> None:
    one, path = to_file(tmp_path, "parquet", log(tmp_path, LEAK), *POLICIES)
    full = pq.read_schema(path)
    none, _ = to_file(tmp_path, "parquet", log(tmp_path, NEEDED), *POLICIES, "--denied")
    assert (one.code, none.code) == (1, 0)
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).equals(full)
    assert full.field("because").type == pa.list_(pa.string())


def test_parquet_says_why_and_what_changes(tmp_path: Path) -> None:
    _, path = to_file(tmp_path, "parquet", log(tmp_path, LEAK, NEEDED), *PROPOSED)
    (row,) = pq.read_table(path).to_pylist()
    assert (row["change"], row["source"]) == ("cut", "production/backend-1[Pod]")
    assert any("proposed.yaml" in reason for reason in row["because"])


def test_parquet_of_rules_that_nobody_used(tmp_path: Path) -> None:
    outcome, path = to_file(tmp_path, "parquet", log(tmp_path, NEEDED), *POLICIES, "--unused")
    assert outcome.code == 1
    rows = pq.read_table(path).to_pylist()
    assert [(row["policy"], row["rule"]) for row in rows] == [
        ("production/frontend-policy", ""),
        ("production/backend-policy", "ingress[0]"),
    ]
    assert rows[1]["place"].endswith("policies.yaml:47:7")


def test_parquet_that_cannot_be_made_leaves_what_was_there(tmp_path: Path) -> None:
    most = f"{LEAK.rpartition(',')[0]},{2**63 - 1}\n"
    files = [tmp_path / name for name in ("a.csv", "b.csv")]
    for file in files:
        file.write_text(f"{HEADER}\n{most}")
    (tmp_path / "out").write_text("as it was")
    outcome, path = to_file(tmp_path, "parquet", *map(str, files), *POLICIES)
    assert outcome.code == 2
    assert "-o parquet: a sum that 64 bits do not hold" in outcome.stderr
    assert path.read_text() == "as it was"
    assert sorted(own.name for own in tmp_path.iterdir()) == ["a.csv", "b.csv", "out"]


def test_sarif_of_what_was_forwarded_though_denied(tmp_path: Path) -> None:
    (result,) = results(log(tmp_path, LEAK, NEEDED), *POLICIES)
    assert (result["ruleId"], result["level"]) == ("audit/denied-yet-forwarded", "error")
    assert result["message"]["text"] == (
        "other/client[Pod] -> production/database-1[Pod] TCP/5432: denied, yet forwarded "
        "(1 records, as of 10.244.1.61 -> 10.244.1.31)"
    )
    assert [place(own) for own in result["locations"]] == [
        "examples/three-tier/policies.yaml:62"
    ], "the policy that isolates the database"


def test_sarif_of_a_change_is_at_the_changed_policies(tmp_path: Path) -> None:
    (result,) = results(log(tmp_path, LEAK, NEEDED), *PROPOSED)
    assert (result["ruleId"], result["level"]) == ("audit/cut", "error")
    assert place(result["locations"][0]) == "examples/proposed.yaml:37"


def test_sarif_of_what_is_denied_and_of_what_nobody_used(tmp_path: Path) -> None:
    dropped = LEAK.replace("forwarded", "dropped")
    path = log(tmp_path, dropped, NEEDED)
    assert results(path, *POLICIES) == []
    (result,) = results(path, *POLICIES, "--denied")
    assert (result["ruleId"], result["level"]) == ("audit/denied", "note")
    assert "isolated, and no rule accepts" in result["message"]["text"]
    unused = results(path, *POLICIES, "--unused")
    assert [(own["ruleId"], own["level"], place(own["locations"][0])) for own in unused] == [
        ("audit/unused-rule", "warning", "examples/three-tier/policies.yaml:4"),
        ("audit/unused-rule", "warning", "examples/three-tier/policies.yaml:47"),
    ]


CODE = """
import sys
from netpolc.cli import main, terminal
terminal._PATIENCE = 0.0
main({arguments!r}, prog_name="netpolc")
"""


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_terminal_sees_a_bar_with_its_rate(is_packed: bool, tmp_path: Path) -> None:
    rows = (f"{NEEDED[:-1]}{number * 7_919**3 % 10**15}," for number in range(100_000))
    path = Path(log(tmp_path, *rows))
    if is_packed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    shown = on_terminal(CODE.format(arguments=["audit", str(path), *POLICIES]))
    assert re.search(r"judging .*\b[1-9]\d*%", shown)
    assert "B/s" in shown
    assert "100000 records" in shown


@pytest.mark.parametrize("more", [[], ["--file", "-"]])
def test_parquet_is_not_for_a_terminal(more: list[str], tmp_path: Path) -> None:
    arguments = ["audit", log(tmp_path, NEEDED), *POLICIES, "-o", "parquet", *more]
    shown = on_terminal(CODE.format(arguments=arguments), expect=2)
    assert "-o parquet is no text for a terminal: --file says where it goes" in shown
    assert "PAR1" not in shown
