"""What the commands say about themselves.

In: `--help` and `--version` of every command. Out: examples that the command line itself accepts.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import click
import pytest

import netpolc
from netpolc.cli import COMMANDS
from tests.cli.invocation import command_of, invoke, run
from tests.helpers.scenarios import ROOT


def test_the_commands_are_these() -> None:
    assert set(COMMANDS) >= {"apply", "compile", "delete", "status"}


def test_version() -> None:
    for outcome in (invoke("--version"), run("--version")):
        assert (outcome.code, outcome.stderr) == (0, "")
        assert outcome.stdout == f"netpolc {netpolc.__version__}\n"


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_program_lists_commands_and_exit_codes(flag: str) -> None:
    outcome = invoke(flag)
    assert outcome.code == 0
    assert "Exit codes: 0 fine, 1 findings, 2 bad input or usage, 3" in outcome.stdout
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S", outcome.stdout, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_that_parse(name: str) -> None:
    command = command_of(name)
    outcome = invoke(name, "--help")
    assert outcome.code == 0
    _, marker, rest = outcome.stdout.partition("Example")
    assert marker, "no examples"
    lines = [line.strip() for line in rest.partition("\n")[2].partition("\n\n")[0].splitlines()]
    found = 0
    for line in lines:
        _, own, arguments = line.partition(f"netpolc {name}")
        if own:
            context = click.Context(command, info_name=name)
            command.parse_args(context, shlex.split(arguments.partition("|")[0]))
            found += 1
    assert found == len(lines) > 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    for parameter in command_of(name).params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help, parameter.name
            assert parameter.help.endswith((".", ")", "]")), parameter.help


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["compile"], "give PATHs, or a live cluster"),
        (["apply"], "Missing argument 'PATH...'"),
        (["compile", "x", "--hook", "input"], "'input' is not one of 'forward', 'postrouting'"),
        (["compile", "x", "--deny", "accept"], "'accept' is not one of 'drop', 'reject'"),
        (["compile", "x", "-o", "xml"], "'xml' is not one of"),
        (["compile", "x", "--priority", "filter"], "'filter' is not a valid integer"),
        (["compile", "x", "--semantics", "v1.7"], "'v1.7' is not one of"),
        (["compile", "x", "--nodes"], "No such option"),
        (["enforce"], "No such command 'enforce'"),
    ],
)
def test_misuse_is_exit_code_2(arguments: list[str], words: str) -> None:
    outcome = invoke(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports, by `python -X importtime`."""
    command = [sys.executable, "-X", "importtime", "-m", "netpolc", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_the_version_is_told_by_few_modules() -> None:
    own = {name for name in imported("--version") if name.partition(".")[0] in ("netpolc", "yaml")}
    assert own == {
        "netpolc",
        "netpolc._version",
        "netpolc.cli",
        "netpolc.cli.interruption",
        "netpolc.cli.output",
        "netpolc.cli.refusals",
        "netpolc.cli.terminal",
        "netpolc.core",
        "netpolc.core.errors",
        "netpolc.core.foreign",
        "netpolc.files",
    }


def test_a_check_imports_no_backend() -> None:
    own = imported("check", "examples/three-tier")
    assert "netpolc.analysis.findings" in own
    assert not {name for name in own if name.startswith(("netpolc.backends", "numpy"))}


def test_what_is_loaded_is_told_without_what_reads_clusters() -> None:
    own = imported("status", "--help")
    assert "netpolc.agent.running" in own
    unneeded = (
        "netpolc.agent.",
        "netpolc.apiserver",
        "netpolc.passes",
        "netpolc.frontends.",
        "ssl",
    )
    assert {name for name in own if name.startswith(unneeded)} == {"netpolc.agent.running"}


def test_what_is_loaded_is_told_without_what_makes_and_judges_rulesets() -> None:
    own = imported("status", "--help")
    unneeded = (
        "netpolc.analysis",
        "netpolc.compiler",
        "netpolc.core.cluster",
        "netpolc.core.program",
        "netpolc.core.semantics",
        "netpolc.flows",
        "netpolc.manifests",
        "netpolc.backends.nft.lower",
        "netpolc.backends.nft.write.delta",
        "netpolc.backends.nft.write.ruleset",
        "netpolc.backends.nft.readback.parse",
        "netpolc.backends.nft.readback.proof",
        "netpolc.backends.nft.signals.counters",
        "json",
        "subprocess",
    )
    assert not {name for name in own if name.startswith(unneeded)}
