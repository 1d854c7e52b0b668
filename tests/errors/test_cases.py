"""One file (or folder) for each bad input, beside it what standard error must hold, word for word.

In: `refused/NAME` (exit code 2, nothing written) and `warned/NAME` (exit code 0) with
`NAME.expected`. The first line of a YAML file may name options: `# netpolc compile --no-strict`.
JSON has no comments: `OPTIONS` below has theirs.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.invocation import invoke, run

HERE = Path(__file__).parent
COMPLETE = str(HERE / "complete.yaml")
OPTIONS = {"field-duplicate.json": ["--no-strict"]}
# Folders, fields, files of both formats: what goes through the installed program as well.
ALSO_AS_A_PROCESS = {
    "several-files",
    "yaml-alias-bomb.yaml",
    "json-unclosed.json",
    "wrong-type.yaml",
}
_HEADER = re.compile(r"# netpolc compile (.*)\n")
_PLACED = re.compile(r"\S+\.(yaml|yml|json):\d+:\d+: \S.*")


def cases(folder: str) -> list[str]:
    found = (HERE / folder).iterdir()
    return sorted(path.name for path in found if path.suffix != ".expected")


def options(path: Path) -> list[str]:
    header = _HEADER.match(path.read_text()) if path.suffix == ".yaml" else None
    if header is not None:
        return header.group(1).split()
    return OPTIONS.get(path.name, []) if path.parent.name == "warned" else []


def test_every_case_has_its_expectation() -> None:
    for folder in ("refused", "warned"):
        files = {path.name for path in (HERE / folder).iterdir()}
        inputs = {name for name in files if not name.endswith(".expected")}
        assert {f"{name}.expected" for name in inputs} == files - inputs


@pytest.mark.parametrize("name", cases("refused"))
def test_bad_input_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE / "refused")
    output = tmp_path / "out.nft"
    output.write_text("as it was\n")
    outcome = invoke("compile", name, *options(Path(name).absolute()), "--file", str(output))
    assert outcome.stderr == (HERE / "refused" / f"{name}.expected").read_text()
    assert (outcome.code, outcome.stdout) == (2, "")
    assert output.read_text() == "as it was\n"
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.parametrize("name", cases("refused"))
def test_every_line_of_a_refusal_has_a_place(name: str) -> None:
    *lines, count = (HERE / "refused" / f"{name}.expected").read_text().splitlines()
    assert [line for line in lines if not _PLACED.fullmatch(line)] == []
    assert count == f"netpolc: {len(lines)} error{'s' if len(lines) > 1 else ''}"


@pytest.mark.parametrize("name", sorted(ALSO_AS_A_PROCESS))
def test_the_program_says_the_same(name: str, tmp_path: Path) -> None:
    outcome = run("compile", name, "--file", str(tmp_path / "out.nft"), cwd=HERE / "refused")
    expected = (HERE / "refused" / f"{name}.expected").read_text()
    assert (outcome.code, outcome.stdout, outcome.stderr) == (2, "", expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", cases("refused"))
def test_nothing_of_it_becomes_a_ruleset_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(HERE / "refused")
    chosen = options(Path(name).absolute())
    for rest in (["-o", "ir"], ["--all-nodes", "--file", str(tmp_path / "folder")]):
        outcome = invoke("compile", name, *chosen, *rest)
        assert (outcome.code, outcome.stdout) == (2, "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", cases("warned"))
def test_what_is_doubtful_is_only_warned_of(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE / "warned")
    outcome = invoke("compile", name, COMPLETE, *options(Path(name).absolute()))
    assert outcome.stderr == (HERE / "warned" / f"{name}.expected").read_text()
    assert outcome.code == 0
    assert outcome.stdout.startswith("# netpolc: every pod of the snapshot\n")
