"""The documents are true: their commands run and print what is printed there.

A ```console block holds commands (`$ …`) and their output; `make demo` is `python -m
examples.demo`. Blocks that change nf_tables run in a network namespace of their own.
`--update-golden` writes the output anew. Times differ from run to run and are compared as such.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

import netpolc
from netpolc.cli import COMMANDS
from tests.cli.invocation import command_of
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = {
    "audit": "flow-logs.md",
    "recommend": "recommend.md",
    "compile": "ir.md",
    "eval": "explain.md",
    "status": "counters.md",
}
"""Where the forms of a command are described, if not on the page of its name."""
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_TIMES = re.compile(r"\d+ ms|20\d\d-\d\d-\d\dT[0-9:]+Z")
_NEEDS_KERNEL = re.compile(
    r"^\$ (netpolc (apply|confirm|status|top|delete)|python -m examples)", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Block:
    """One console block of a document."""

    document: Path
    number: int
    text: str


def _blocks() -> Iterator[Block]:
    for document in DOCUMENTS:
        for number, match in enumerate(_BLOCK.finditer(document.read_text())):
            yield Block(document, number, match.group(1))


def _parameters() -> list[object]:
    return [
        pytest.param(
            block,
            id=f"{block.document.name}-{block.number}",
            marks=[pytest.mark.kernel] if _NEEDS_KERNEL.search(block.text) else [],
        )
        for block in _blocks()
    ]


@pytest.mark.parametrize("block", _parameters())
def test_commands_print_what_the_document_says(
    block: Block, tmp_path: Path, update_golden: bool
) -> None:
    for name in ("examples", "tests", "benches"):
        (tmp_path / name).symlink_to(ROOT / name)
    commands = re.findall(r"^\$ (.*)$", block.text, re.MULTILINE)
    if _NEEDS_KERNEL.search(block.text):
        with Router() as router:
            printed = router.call(lambda: _run(commands, tmp_path))
    else:
        printed = _run(commands, tmp_path)
    if update_golden:
        text = block.document.read_text()
        block.document.write_text(text.replace(block.text, printed))
    assert _TIMES.sub("TIME", printed) == _TIMES.sub("TIME", block.text)


def _run(commands: list[str], folder: Path) -> str:
    """Everything a terminal would show; programs come from the interpreter that runs the tests."""
    shims = folder / ".bin"
    shims.mkdir()
    for name, module in (("netpolc", "-m netpolc"), ("python", "")):
        shim = shims / name
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        shim.chmod(0o755)
    environment = {**os.environ, "PATH": f"{shims}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    shown = []
    for command in commands:
        done = subprocess.run(
            command,
            shell=True,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        shown.append(f"$ {command}\n{done.stdout}")
    return "".join(shown)


def test_python_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    failures, tried = doctest.testfile(str(ROOT / "README.md"), module_relative=False)
    assert tried >= 5
    assert failures == 0


def test_every_command_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        command = command_of(name)
        assert f"netpolc {name}" in readme
        assert command.help is not None
        assert "Example" in command.help


def test_commands_that_only_tell_are_named_whole() -> None:
    """Documents that list the commands which believe settings and render list all of them."""
    telling = {
        name
        for name in COMMANDS
        if any(own.name == "is_configured" for own in command_of(name).params)
    }
    assert "check" in telling
    assert "compile" not in telling
    lists = [
        set(re.findall(r"`(\w+)`", listed))
        for document in DOCUMENTS
        for listed in re.findall(
            r"`check`, `list`(?:,? (?:and )?`\w+`)+", " ".join(document.read_text().split())
        )
    ]
    assert len(lists) >= 4
    assert all(listed == telling for listed in lists)


def test_every_public_name_is_documented() -> None:
    for name in netpolc.__all__:
        documented = getattr(netpolc, name).__doc__
        assert documented, name


def test_every_make_target_exists() -> None:
    defined = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in (*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"):
        used = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", document.read_text(), re.MULTILINE)
        assert {first or second for first, second in used} <= defined, document


def anchors(document: Path) -> set[str]:
    """The headings of a document, as links name them (GitHub's rule)."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_lead_somewhere() -> None:
    folders = ("benches", "contrib", "docs", "examples", "tests")
    others = (path for folder in folders for path in (ROOT / folder).rglob("*.md"))
    for document in (*ROOT.glob("*.md"), *others):
        for link in re.findall(r"\]\(([^):]+)\)", document.read_text()):
            target, _, anchor = link.partition("#")
            found = document.parent / target if target else document
            assert found.exists(), (document, link)
            assert not anchor or anchor in anchors(found), (document, link)


def test_every_internal_page_is_on_the_map() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for page in (ROOT / "docs" / "internals").iterdir():
        assert f"](docs/internals/{page.name})" in text, page


def test_every_folder_of_tests_is_explained() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for folder in {path.relative_to(ROOT).parts[1] for path in ROOT.glob("tests/*/**/test_*.py")}:
        assert f"`tests/{folder}/" in text, folder


def test_every_form_is_documented() -> None:
    """What `-o` offers beside its default stands on the command's page, as code."""
    tried = 0
    for name in COMMANDS:
        for option in command_of(name).params:
            if option.name == "form" and isinstance(option.type, click.Choice):
                page = ROOT / "docs" / PAGES.get(name, f"{name}.md")
                code = re.findall(r"`([^`\n]+)`|^\$ (netpolc .*)$", page.read_text(), re.MULTILINE)
                words = {word for found in code for word in re.split(r"[ |]", "".join(found))}
                assert {*option.type.choices} - {option.default} <= words, page
                tried += 1
    assert tried > 5


def test_promises_name_tests_that_exist() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`((?:tests/[a-z_/]+\.py)?)(?:::(test_[a-z_]+))?`", text)
    file = ""
    for path, test in named:
        file = path or file
        assert (ROOT / file).is_file(), file
        assert f"def {test}(" in (ROOT / file).read_text(), (file, test)
    assert len(named) > 15


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_shell_completion_is_there() -> None:
    environment = {**os.environ, "_NETPOLC_COMPLETE": "bash_source"}
    command = [sys.executable, "-c", "from netpolc.cli import main; main(prog_name='netpolc')"]
    script = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "_netpolc_completion" in script.stdout
    subprocess.run(["bash", "-n"], input=script.stdout, text=True, check=True)
