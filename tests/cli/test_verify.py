"""`netpolc verify --ruleset`: files, without root and without a kernel.

In: files that `netpolc compile` wrote, whole and changed. Out: the proof, the difference with the
flow and the rule, or the refusal.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.cli.invocation import NOBODY, invoke, run
from tests.cli.snapshots import EXAMPLE

SNAPSHOT = str(EXAMPLE)
PROVEN = "table inet netpolc for node node-a does what the policies mean: "


@pytest.fixture
def ruleset(tmp_path: Path) -> Path:
    path = tmp_path / "node-a.nft"
    assert invoke("compile", SNAPSHOT, "--node", "node-a", "--file", str(path)).code == 0
    return path


def verify(path: Path, *options: str) -> tuple[int, str, str]:
    found = invoke("verify", SNAPSHOT, "--node", "node-a", "--ruleset", str(path), *options)
    return found.code, found.stdout, found.stderr


def test_both_forms_are_proven(ruleset: Path, tmp_path: Path) -> None:
    code, stdout, stderr = verify(ruleset)
    assert (code, stderr) == (0, "")
    assert stdout.startswith(PROVEN)
    path = tmp_path / "node-a.json"
    invoke("compile", SNAPSHOT, "--node", "node-a", "-o", "json", "--file", str(path))
    assert verify(path) == (0, stdout, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to stop being root")
def test_no_root_is_needed(ruleset: Path) -> None:
    text = ruleset.read_text()
    outcome = run("compile", SNAPSHOT, "--node", "node-a", user=NOBODY)
    assert outcome.stdout == text
    arguments = ("verify", SNAPSHOT, "--node", "node-a", "--ruleset", "/dev/stdin")
    found = run(*arguments, stdin=text.encode())
    assert found.stdout.startswith(PROVEN)
    assert run("verify", SNAPSHOT, "--node", "node-a", user=NOBODY).code == 3


def test_a_difference_tells_flow_answers_and_rule(ruleset: Path) -> None:
    """The digest in the file is left as it was: nothing is taken from it."""
    ruleset.write_text(
        ruleset.read_text().replace("tcp dport 8080 ip daddr", "tcp dport 8081 ip daddr")
    )
    code, stdout, _ = verify(ruleset)
    assert code == 1
    assert "TCP/8080 (egress alone)" in stdout or "TCP/8080\n" in stdout
    assert (
        "  policies  allow  egress: decided by a rule production/frontend-policy egress" in stdout
    )
    assert re.search(r"  ruleset   deny   chain e_[0-9a-f]{16}, rule", stdout)
    assert stdout.splitlines()[-1].startswith("table inet netpolc for node node-a differs from")


def test_the_ruleset_of_another_node_is_different(ruleset: Path) -> None:
    found = invoke("verify", SNAPSHOT, "--node", "node-b", "--ruleset", str(ruleset))
    assert found.code == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the ruleset ends too early"),
        ("flush ruleset\n", "line 1: not a transaction that replaces a table: flush ruleset"),
        ('{"nftables": [{"flush": {"ruleset": null}}]}', "neither a listing nor a transaction"),
    ],
)
def test_what_netpolc_does_not_emit_is_bad_input(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "foreign.nft"
    path.write_text(text)
    code, stdout, stderr = verify(path)
    assert (code, stdout) == (2, "")
    assert words in stderr


def test_a_file_that_cannot_be_read_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert verify(tmp_path / "binary")[0] == 2
    code, _, stderr = verify(tmp_path / "none")
    assert (code, "cannot read" in stderr) == (2, True)


def test_an_unknown_node_is_bad_usage(ruleset: Path) -> None:
    found = invoke("verify", SNAPSHOT, "--node", "nowhere", "--ruleset", str(ruleset))
    assert (found.code, "unknown node 'nowhere'" in found.stderr) == (2, True)
