"""The forms of findings: golden files, and what reads them.

In: `formats.yaml` and snapshots written here. Out: `expected/`, rewritten by `--update-golden`. The
schema of SARIF is a subset, by hand: of the packages on PyPI neither sarif-om nor check-jsonschema
holds the published one.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

import netpolc
from netpolc.analysis.findings import CATALOGUE
from netpolc.analysis.findings.formats import FORMATS
from tests.cli.invocation import invoke

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE / "sarif-2.1.0-subset.json").read_text())
CASES = [*sorted(HERE.glob("NP*/bad.yaml")), HERE / "formats.yaml"]
BROKEN = "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: a,, }\n"


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_golden(form: str, monkeypatch: pytest.MonkeyPatch, update_golden: bool) -> None:
    monkeypatch.chdir(HERE)
    outcome = invoke("check", "formats.yaml", "-o", form)
    assert (outcome.code, outcome.stderr) == (1, "")
    printed = outcome.stdout.replace(f'"{netpolc.__version__}"', '"VERSION"')
    golden = HERE / "expected" / form
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(printed)
    assert printed == golden.read_text()


def sarif(*arguments: str, stdin: bytes | None = None) -> Any:
    log = json.loads(invoke("check", *arguments, "-o", "sarif", stdin=stdin).stdout)
    jsonschema.Draft7Validator(SCHEMA).validate(log)
    return log["runs"][0]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.parent.name)
def test_sarif_is_valid(path: Path) -> None:
    run = sarif(str(path), str(HERE / "cluster.yaml"), "--no-strict")
    rules = run["tool"]["driver"]["rules"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    assert [rule["id"] for rule in rules] == list(CATALOGUE)


def test_the_schema_refuses_what_is_no_sarif() -> None:
    validator = jsonschema.Draft7Validator(SCHEMA)
    for wrong in (
        {"version": "2.1.0"},
        {"version": "2.2", "runs": []},
        {"version": "2.1.0", "runs": [{"tool": {"driver": {}}}]},
        {"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "x"}}, "results": [{}]}]},
    ):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_form_shows_what_makes_a_manifest_invalid(form: str) -> None:
    outcome = invoke("check", "-", "-o", form, stdin=BROKEN.encode())
    assert (outcome.code, outcome.stderr) == (2, "")
    assert "NP001" in outcome.stdout


def test_sarif_of_standard_input() -> None:
    (result,) = sarif("-", stdin=BROKEN.encode())["results"]
    location = result["locations"][0]["physicalLocation"]
    assert location["artifactLocation"]["uri"] == "%3Cstdin%3E"
    assert location["region"] == {"startLine": 3, "startColumn": 20}


def test_github_escapes_what_would_end_a_command(tmp_path: Path) -> None:
    path = tmp_path / "100%, a:b.yaml"
    path.write_text((HERE / "formats.yaml").read_text())
    for line in invoke("check", str(path), "-o", "github").stdout.splitlines():
        head = re.fullmatch(r"::(notice|warning) file=([^,:]+),line=\d+,col=\d+,title=.*::.*", line)
        assert head is not None, line
        assert head[2].endswith("/100%25%2C a%3Ab.yaml")


def test_junit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    for level, failures, skipped in (("info", 3, 0), ("warning", 1, 2), ("error", 0, 3)):
        outcome = invoke("check", "formats.yaml", "-o", "junit", "--fail-on", level)
        suite = ElementTree.fromstring(outcome.stdout).find("testsuite")
        assert suite is not None
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"]) == failures
        assert len(suite.findall("testcase/skipped")) == int(suite.attrib["skipped"]) == skipped
        assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
    empty = invoke("check", "formats.yaml", "-o", "junit", "--select", "NP1").stdout
    assert '<testsuite name="netpolc check" tests="1" failures="0" skipped="0">' in empty
