"""One folder a code: `bad.yaml` gives the hand-written lines in `expected`, `good.yaml` nothing.

Both are checked together with `cluster.yaml`. The first line of a file may name options:
`# netpolc check --no-strict`. Every code of the catalogue that a
manifest can have has its folder.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netpolc.analysis.findings import CATALOGUE
from tests.cli.invocation import invoke

HERE = Path(__file__).parent
CODES = sorted(path.name for path in HERE.iterdir() if path.name.startswith("NP"))
_HEADER = re.compile(r"# netpolc check (.*)\n")


def options(path: Path) -> list[str]:
    header = _HEADER.match(path.read_text())
    return header.group(1).split() if header else []


LIVE = ["NP016"]
"""Codes of what no manifest shows: tests/apiserver has them."""


def test_every_code_has_its_folder() -> None:
    assert list(CATALOGUE) == sorted([*CODES, *LIVE])


def test_every_code_is_documented() -> None:
    page = (HERE.parents[1] / "docs" / "check.md").read_text()
    rows = [f"| {code} | {entry.level} | {entry.title} |" for code, entry in CATALOGUE.items()]
    assert "\n".join(rows) in page


@pytest.mark.parametrize("code", CODES)
def test_bad_and_good(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE / code)
    chosen = ["--select", code, "--fail-on", "info", "-o", "concise"]
    common = ["../cluster.yaml", *chosen, *options(Path("bad.yaml"))]
    bad = invoke("check", "bad.yaml", *common)
    assert bad.stdout.rpartition("\n")[0].rpartition("\n")[0] + "\n" == Path("expected").read_text()
    assert bad.code == (2 if code == "NP001" else 1)
    # A policy of another API is also an object of another kind.
    assert bad.stderr.startswith("ignored 1 object of other kinds" if code == "NP003" else "")
    good = invoke("check", "good.yaml", *common)
    assert (good.code, good.stdout, good.stderr) == (0, "no findings\n", "")


@pytest.mark.parametrize("code", CATALOGUE)
def test_every_code_is_explained(code: str) -> None:
    outcome = invoke("check", "--explain", code.lower())
    assert (outcome.code, outcome.stderr) == (0, "")
    entry = CATALOGUE[code]
    assert outcome.stdout.startswith(f"{code} ({entry.level}): {entry.title}\n")
    for part in (entry.example, entry.fix):
        assert "\n".join(f"    {line}" for line in part.splitlines()) in outcome.stdout
