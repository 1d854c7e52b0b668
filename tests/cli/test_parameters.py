"""What options take in every command: forms, files, ports; and what shells complete.

In: old and new spellings, and words that are not finished. Out: the same for both spellings, with a
warning about the old one; candidates that are written here by hand.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from netpolc.cli import COMMANDS, main
from tests.cli.invocation import command_of, invoke, program, run
from tests.helpers.scenarios import ROOT

THREE_TIER = str(ROOT / "examples" / "three-tier")
FLOW = ("--src", "production/frontend-1", "--dst", "production/backend-1")
NODES = ["node-a", "node-b"]
BACKENDS = ["production/backend-1[Pod]", "production/backend-2[Pod]"]


def test_o_is_the_form_and_file_the_target() -> None:
    """In every command that has either."""
    for name in COMMANDS:
        by_option = {own: param for param in command_of(name).params for own in param.opts}
        if "-o" in by_option:
            assert isinstance(by_option["-o"].type, click.Choice), name
            assert by_option["-o"].name == "form", name
            assert "--file" in by_option, name
        if "--file" in by_option:
            assert isinstance(by_option["--file"].type, click.Path), name


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("check", ("--select", "NP5")),
        ("explain", (*FLOW, "--port", "8080")),
        ("explain", ()),
        ("eval", (*FLOW, "--port", "8080")),
        ("compile", ()),
    ],
)
def test_a_file_holds_what_is_printed(
    command: str, rest: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    policy = "examples/three-tier/policies.yaml#production/backend-policy"
    path = "examples/three-tier" if rest or command != "explain" else policy
    for form in ((), ("-o", "json")):
        printed = invoke(command, path, *rest, *form)
        assert len(printed.stdout) > 20
        target = tmp_path / "out"
        written = invoke(command, path, *rest, *form, "--file", str(target))
        assert (written.code, written.stdout) == (printed.code, "")
        assert target.read_text() == printed.stdout


def test_one_verdict_as_json() -> None:
    found = json.loads(invoke("eval", THREE_TIER, *FLOW, "--port", "8080", "-o", "json").stdout)
    assert [own["allowed"] for own in found["flows"]] == [True, True]  # in either address family


@pytest.mark.parametrize("name", ["all.nft", "./all", "-"])
def test_the_old_target_is_understood_with_a_warning(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    today = invoke("compile", THREE_TIER)
    old = invoke("compile", THREE_TIER, "-o", name)
    said = f"-o is the form of the output: write --file {name}; -o FILE will be refused\n"
    assert (old.code, old.stderr) == (0, said)
    written = old.stdout if name == "-" else Path(name).read_text()
    assert written == today.stdout


def test_the_old_form_is_understood_with_a_warning(tmp_path: Path) -> None:
    today = invoke("compile", THREE_TIER, "-o", "ir")
    old = invoke("compile", THREE_TIER, "--format", "ir")
    assert (old.code, old.stdout) == (0, today.stdout)
    assert old.stderr == "--format is now -o: write -o ir; --format will be refused\n"
    folder = tmp_path / "rulesets"
    both = ("--format", "json", "-o", str(folder), "--all-nodes")
    assert invoke("compile", THREE_TIER, *both).code == 0
    assert sorted(own.name for own in folder.iterdir()) == ["node-a.json", "node-b.json"]


def test_a_slip_in_a_form_is_no_file(tmp_path: Path) -> None:
    done = run("compile", THREE_TIER, "-o", "jsn", cwd=tmp_path)
    assert (done.code, done.stdout) == (2, "")
    assert "'jsn' is not one of 'nft', 'json', 'ir'; a file goes with --file." in done.stderr
    assert list(tmp_path.iterdir()) == []
    both = run("compile", THREE_TIER, "-o", "a.nft", "--file", "b.nft", cwd=tmp_path)
    assert both.code == 2
    assert list(tmp_path.iterdir()) == []
    assert "'xml' is not one of" in invoke("compile", THREE_TIER, "--format", "xml").stderr


@pytest.mark.parametrize("port", ["8080", "TCP/8080", "tcp/8080", "8080/tcp", "8080/TCP"])
def test_a_port_is_spelt_alike_everywhere(port: str) -> None:
    for command in ("explain", "eval"):
        assert invoke(command, THREE_TIER, *FLOW, "--port", port).stdout.startswith("ALLOW ")
    asked = ("--workload", "backend-1", "--direction", "ingress", "--port", port, "-o", "csv")
    rows = invoke("list", THREE_TIER, *asked).stdout.splitlines()
    assert [row.partition(",")[0] for row in rows[1:]] == [
        "production/frontend-1[Pod]",
        "production/frontend-2[Pod]",
    ]


def test_the_protocol_of_a_port_counts() -> None:
    denied = invoke("eval", THREE_TIER, *FLOW, "--port", "8080/udp")
    assert denied.stdout.startswith("DENY ")
    assert "UDP/8080" in denied.stdout
    same = invoke("eval", THREE_TIER, *FLOW, "--port", "8080/udp", "--protocol", "17")
    assert same.stdout == denied.stdout
    apart = invoke("eval", THREE_TIER, *FLOW, "--port", "UDP/8080", "--protocol", "TCP")
    assert apart.stderr == "netpolc: --port UDP/8080 is not of --protocol TCP\n"
    listed = invoke("list", THREE_TIER, "--workload", "backend-1", "--port", "8080/udp")
    assert "backend-1" not in listed.stdout


@pytest.mark.parametrize("port", ["HTTP", "TCP", "65536", "-1", "ICMP/1", "tcp/80/tcp", "80/", ""])
def test_what_is_no_port_is_told_the_spelling(port: str) -> None:
    for command, rest in (("list", ()), ("explain", FLOW), ("eval", FLOW)):
        done = invoke(command, THREE_TIER, *rest, f"--port={port}")
        assert (done.code, done.stdout) == (2, "")
        assert f"{port!r} is no port: give 80, TCP/80 or 80/tcp" in done.stderr


def completed(*words: str, incomplete: str = "") -> list[str]:
    """What a shell is offered for a word that is not finished."""
    shell = ShellComplete(main, {}, "netpolc", "_NETPOLC_COMPLETE")
    return [own.value for own in shell.get_completions(list(words), incomplete)]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (("compile", THREE_TIER, "--node"), "", NODES),
        (("apply", THREE_TIER, "--node"), "node-b", ["node-b"]),
        (("list", THREE_TIER, "--namespace"), "", ["kube-system", "other", "production"]),
        (("check", THREE_TIER, "--default-namespace"), "o", ["other"]),
        (("list", THREE_TIER, "--workload"), "production/b", BACKENDS),
        (("explain", THREE_TIER, "--src"), "node:", ["node:node-a", "node:node-b"]),
        (
            ("eval", THREE_TIER, "--dst"),
            "production/backend-1",
            ["production/backend-1", "production/backend-1[Pod]"],
        ),
        (
            ("explain",),
            f"{THREE_TIER}#production/b",
            [f"{THREE_TIER}#production/backend-policy"],
        ),
        (("check", "--explain"), "NP60", ["NP601", "NP602", "NP603", "NP604"]),
        (("check", "--ignore"), "NP102,np70", [f"NP102,NP70{last}" for last in "12345"]),
        (("compile", "-o"), "", ["nft", "json", "ir"]),
        (("list", "/no/such", "--namespace"), "", []),
        (("compile", str(ROOT / "examples" / "broken.yaml"), "--node"), "", []),
        (("compile", "-", "--node"), "", []),
    ],
)
def test_names_are_completed(words: tuple[str, ...], incomplete: str, expected: list[str]) -> None:
    assert completed(*words, incomplete=incomplete) == expected


def test_files_are_completed_by_the_shell() -> None:
    shell = ShellComplete(main, {}, "netpolc", "_NETPOLC_COMPLETE")
    lines: list[tuple[list[str], str]] = [
        (["check"], "exam"),
        (["explain"], "exam"),
        (["list", "--file"], "out"),
        (["diff", "--with"], "a"),
        (["eval", "--flows"], "a"),
        (["apply", "--save"], "a"),
        (["verify", "--ruleset"], "a"),
        (["list", "--values"], "a"),
    ]
    for words, incomplete in lines:
        found = [(own.value, own.type) for own in shell.get_completions(words, incomplete)]
        assert found == [(incomplete, "file")], words


def test_a_shell_is_answered_and_nothing_else_is_said(tmp_path: Path) -> None:
    """As bash asks: by the installed program, of a folder with what cannot be read as it is."""
    (tmp_path / "kustomization.yaml").write_text("resources: [node.yaml]\n")
    (tmp_path / "node.yaml").write_text("apiVersion: v1\nkind: Node\nmetadata: {name: n-1}\n")
    asked = {
        "_NETPOLC_COMPLETE": "bash_complete",
        "COMP_WORDS": f"netpolc check {tmp_path} --node-address ",
        "COMP_CWORD": "4",
    }
    done = run(environment={**os.environ, **asked})
    assert (done.code, done.stdout, done.stderr) == (0, "plain,n-1\n", "")
    assert Path(program()).name == "netpolc"
