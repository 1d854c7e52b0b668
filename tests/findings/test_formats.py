"""The forms of findings: golden files, and what reads them.

In: `formats.yaml` and snapshots written here. Out: `expected/`, rewritten by `--update-golden`. The
schema of SARIF is a subset, by hand: of the packages on PyPI neither sarif-om nor check-jsonschema
holds the published one.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

import netpolc
from netpolc.analysis.findings import CATALOGUE
from netpolc.analysis.findings.formats import FORMATS
from tests.cli.invocation import invoke
from tests.cli.test_terminal import on_terminal

HERE = Path(__file__).parent
SCHEMA = json.loads((HERE / "sarif-2.1.0-subset.json").read_text())
CASES = [*sorted(HERE.glob("NP*/bad.yaml")), HERE / "formats.yaml"]
BROKEN = "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: a,, }\n"


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_golden(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update_golden: bool
) -> None:
    monkeypatch.chdir(tmp_path)  # which is in no checkout
    shutil.copy(HERE / "formats.yaml", tmp_path)
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
    for level, failures, skipped in (("info", 2, 0), ("warning", 1, 1), ("error", 0, 2)):
        outcome = invoke("check", "formats.yaml", "-o", "junit", "--fail-on", level)
        suite = ElementTree.fromstring(outcome.stdout).find("testsuite")
        assert suite is not None
        assert len(suite.findall("testcase/failure")) == int(suite.attrib["failures"]) == failures
        assert len(suite.findall("testcase/skipped")) == int(suite.attrib["skipped"]) == skipped
        assert len(suite.findall("testcase")) == int(suite.attrib["tests"])
    empty = invoke("check", "formats.yaml", "-o", "junit", "--select", "NP1").stdout
    assert '<testsuite name="netpolc check" tests="1" failures="0" skipped="0">' in empty


def uris(*arguments: str) -> set[tuple[str, str | None]]:
    """What a SARIF log calls the files."""
    locations = [
        place["physicalLocation"]["artifactLocation"]
        for result in sarif(*arguments)["results"]
        for place in (*result["locations"], *result.get("relatedLocations", ()))
    ]
    return {(own["uri"], own.get("uriBaseId")) for own in locations}


def test_sarif_paths_are_those_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the folder was named, and wherever netpolc runs."""
    checkout = tmp_path / "a checkout"
    folder = checkout / "k8s" / "base"
    folder.mkdir(parents=True)
    shutil.copy(HERE / "formats.yaml", folder)
    subprocess.run(["git", "init", "-q", str(checkout)], check=True)
    expected = {("k8s/base/formats.yaml", "%SRCROOT%")}
    for start, names in (
        (checkout, ("k8s", "./k8s/", "k8s/../k8s/base", str(folder), "k8s/base/formats.yaml")),
        (folder, (".", "..", "formats.yaml", "../base/formats.yaml")),
        (tmp_path, ("a checkout", str(checkout))),
    ):
        monkeypatch.chdir(start)
        for name in names:
            assert uris(name) == expected, (start, name)
    monkeypatch.chdir(folder)
    line = invoke("check", ".", "-o", "github").stdout.splitlines()[0]
    assert " file=k8s/base/formats.yaml," in line


def test_sarif_outside_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(HERE / "formats.yaml", tmp_path)
    monkeypatch.chdir(tmp_path / "in")
    assert uris("../formats.yaml") == {(f"file://{tmp_path}/formats.yaml", None)}
    monkeypatch.chdir(tmp_path)
    assert uris("./formats.yaml") == {("formats.yaml", "%SRCROOT%")}


LONG = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {}
  ingress:
  - from: [{podSelector: {}}]
  - from:
    - podSelector: {matchLabels: {app: web}}
    - podSelector: {matchLabels: {app: db}}
    - podSelector: {matchLabels: {release: old}}
    ports:
    - port: 80
"""


def test_a_long_rule_is_shown_by_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(LONG)
    found = invoke("check", str(path), str(HERE / "cluster.yaml"), "--select", "NP301")
    assert found.stdout.splitlines()[1:6] == [
        "       8 |   - from:",
        "       9 |     - podSelector: {matchLabels: {app: web}}",
        "      10 |     - podSelector: {matchLabels: {app: db}}",
        "      11 |     - podSelector: {matchLabels: {release: old}}",
        "         ... 2 more lines",
    ]


def test_a_terminal_has_colours(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(LONG)
    arguments = ["netpolc", "check", str(path), str(HERE / "cluster.yaml"), "--select", "NP301"]
    code = f"import sys; sys.argv = {arguments!r}; from netpolc.cli import run; run()"
    shown = on_terminal(code, expect=1)
    (finding,) = (line for line in shown.splitlines() if "NP301" in line)
    (source,) = (line for line in shown.splitlines() if "app: db" in line)
    assert finding.startswith("\x1b[33m")
    assert source.startswith("\x1b[2m")


def test_a_manifest_that_is_refused_is_shown() -> None:
    path = HERE.parent / "errors" / "refused" / "wrong-type.yaml"
    lines = invoke("check", str(path)).stdout.splitlines()
    source = path.read_text().splitlines()
    for own in (line for line in lines if " error NP001: " in line):
        number = int(own.removeprefix(str(path)).split(":")[1])
        assert f"{number:>8} | {source[number - 1]}" in lines
