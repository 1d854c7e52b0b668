"""Text of tenants and repositories in every form of every command.

In: objects of every kind with hostile text in every place that is text, and files of such names.
Out: in each form of each command, as click lists them, nothing that steers a terminal, forges a
line or is a command of a CI runner; and the form is still what it says it is.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import click
import pytest

import netpolc
from netpolc.cli import COMMANDS
from tests.cli.invocation import command_of, invoke

TEXT = (
    "::error::A\x1b]0;t\x07\x9b2J\x00\r\n::error::B\nFORGED\u2028FORGED\u202e\u2066"
    "##vso[task.complete]##[group]G##teamcity[x]\x1b[0Ksection_start:1:s\r\x1b[0K"
    '</script><script>X</script>"];x|`*[l](http://x)@all,%0A'
)
FORMULA = "=cmd|'/c calc'!A0\x1b[2J"
NAMES = [b"\x1b[2J::error::\n::error::FORGED##vso[x]\xff", b"::error::FORGED\nFORGED=cmd,|x"]
GIVEN = tuple(os.fsdecode(name + b".json") for name in (b"a", *NAMES))
KERNEL = {"apply", "confirm", "delete", "status", "top"}
"""Commands that need a kernel: tests/kernel/test_hostile_text.py has them."""
FLOW = ("--src", "a/p", "--dst", "a/q", "--port", "80")
LOGS = ("../flows.csv", "../flows.jsonl")
ARGUMENTS: dict[str, list[tuple[str, ...]]] = {
    "agent": [
        ("--once", "--node", "n", "--kubeconfig", own, "--boot-folder", own) for own in GIVEN[1:]
    ],
    "audit": [
        (*LOGS, "--policies", ".", "--keep-going", "--denied"),
        (*LOGS, "--policies", ".", "--keep-going", "--unused"),
    ],
    "check": [(".",), GIVEN, (".", "--select", "NP0")],
    "list": [(".", "-v"), (".", "--exposure"), (".", "--group", "identity")],
    "explain": [(*GIVEN, *FLOW), (".", "--log-line", "-"), ("a.json#a/n",)],
    "eval": [
        (*GIVEN, *FLOW),
        (".", "--flows", "../flows.csv", "--format", "csv"),
        (".", "--flows", "../flows.jsonl"),
    ],
    "recommend": [(*LOGS, "--policies", ".", "--keep-going")],
    "test": [(".",)],
    "diff": [(".", "../new"), ("../new", ".")],
    "compile": [(".",), (".", "--node", TEXT.replace("\0", ""))],
    "convert": [(".",), (".", "--semantics", "v1.6")],
    "verify": [(".", "--all-pods", "--ruleset", "../own.nft")],
}
"""For each other command ways to call it, in a folder whose files have hostile names."""


def forms() -> Iterator[tuple[str, ...]]:
    """Every command, in each of its forms: `("list", "-o", "csv")`."""
    for name in sorted(COMMANDS):
        command = command_of(name)
        if name in KERNEL:
            continue
        chosen = [
            (parameter.opts[0], str(form))
            for parameter in command.params
            if isinstance(parameter.type, click.Choice) and {"-o", "--output"} & set(parameter.opts)
            for form in parameter.type.choices
        ]
        if not chosen:
            yield (name,)
        yield from ((name, *form) for form in chosen)


def pod(name: str, number: int) -> dict[str, Any]:
    """A pod with everything that pods have of names."""
    owner = {"apiVersion": "apps/v1", "kind": "Thing", "name": name, "uid": "u", "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "a",
            "uid": "u",
            "labels": {"app": name},
            "annotations": {"note": "x", "netpolc.dev/ignore": "NP102"},
            "ownerReferences": [owner],
        },
        "spec": {
            "nodeName": "n",
            "containers": [
                {"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 80}]}
            ],
        },
        "status": {"podIP": f"10.0.0.{number}", "phase": "Running", "message": "m"},
    }


def objects() -> list[dict[str, Any]]:
    """One object of each kind that netpolc reads, and one that it does not."""
    template = {"metadata": {"labels": {"app": "d"}}, "spec": pod("d", 9)["spec"]}
    peer = {"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]}}
    return [
        pod("p", 1),
        pod("q", 2),
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a", "labels": {"b": "c"}}},
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "n"},
            "status": {"addresses": [{"type": "InternalIP", "address": "10.1.0.1"}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "a"},
            "spec": {"template": template},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": "n",
                "namespace": "a",
                "annotations": {"netpolc.dev/audit": "false"},
            },
            "spec": {
                "podSelector": {"matchLabels": {"app": "p"}},
                "policyTypes": ["Ingress"],
                "ingress": [
                    {
                        "from": [peer, {"ipBlock": {"cidr": "10.2.0.0/16"}}],
                        "ports": [{"port": "web", "protocol": "TCP"}],
                    }
                ],
            },
        },
        {
            "apiVersion": "netpolc.dev/v1",
            "kind": "Expectations",
            "metadata": {"name": "e", "namespace": "a"},
            "expectations": [
                {"name": "e", "from": "q", "to": "p", "port": "TCP/81", "expect": "allow"}
            ],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "k"}, "data": {"x": "y"}},
    ]


Steps = tuple[str | int, ...]


def texts(part: object, at: Steps = ()) -> Iterator[Steps]:
    """Where strings stand."""
    items: Iterator[tuple[Any, object]] = iter(())
    if isinstance(part, dict):
        items = iter(part.items())
    elif isinstance(part, list):
        items = iter(enumerate(part))
    elif isinstance(part, str):
        yield at
    for step, below in items:
        yield from texts(below, (*at, step))


def replaced(found: Any, at: Steps, text: str, as_key: bool = False) -> Any:
    """A copy with one string, or the key it stands at, replaced."""
    if not at:
        return text
    copy: Any = dict(found) if isinstance(found, dict) else list(found)
    if as_key and len(at) == 1 and isinstance(copy, dict):
        copy[text] = copy.pop(at[0])
    else:
        copy[at[0]] = replaced(found[at[0]], at[1:], text, as_key)
    return copy


ORDINARY = objects()
PLACES = [(at, as_key) for at in texts(ORDINARY) for as_key in (False, True)]


def is_accepted(found: list[dict[str, Any]]) -> bool:
    """Whether a snapshot can be had from the objects."""
    try:
        netpolc.load_objects(found)
    except netpolc.InputError:
        return False
    return True


def hostile(text: str) -> list[dict[str, Any]]:
    """The objects with the text in every place where it is accepted, all at once."""
    found = ORDINARY
    for at, as_key in PLACES:
        if at[-1] in ("apiVersion", "kind") and at[0] in range(7):
            continue  # the objects would be others
        changed = replaced(found, at, text, as_key) if not as_key else found
        if changed is not found and is_accepted(changed):
            found = changed
    return found


def judged(text: str, form: str = "") -> None:
    """Refuse what a reader of this output could take for something else."""
    lines = text.replace("\r\n", "\n").split("\n") if form == "csv" else text.split("\n")
    for line in lines:
        if form == "nft":
            line = line.lstrip("\t")
        assert line.isprintable(), ascii(line)
        assert "FORGED" not in line[:6], line
        assert not re.search(r"##(\[|vso|teamcity)", line), line
        if form == "github" and line:
            assert re.fullmatch(r"::(notice|warning|error) ([a-z]+=[^:,]*,?)+::.*", line), line
        else:
            assert not re.match(r"\s*::[a-z]", line), line


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"


def well_formed(text: str, form: str) -> None:
    """The form is what it says, as others read it."""
    match form:
        case "json" | "sarif" | "ir":
            json.loads(text)
        case "junit" | "svg":
            ElementTree.fromstring(text)
        case "csv":
            rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
            assert len({len(row) for row in rows}) == 1
            assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+@")]
        case "md":
            assert not re.search(r"(?<!\\)<(?!!-- -->)|(?<!\\)\[|(?<!-->)@|(?<!>)//", text)
        case "html":
            tags = _Tags()
            tags.feed(text)
            assert tags.scripts == 2  # the document and the script


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with what some commands take besides manifests beside it."""
    (tmp_path / "in").mkdir()
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    with (tmp_path / "flows.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["src", "dst", "protocol", "port", TEXT])
        writer.writerows([["10.0.0.1", "10.0.0.2", "6", "80", text] for text in (TEXT, FORMULA)])
        writer.writerow([TEXT] * 5)
        writer.writerow([TEXT] * 4)
    row = {"src": "10.0.0.1", "dst": TEXT, "protocol": TEXT, "port": TEXT, TEXT: [TEXT]}
    (tmp_path / "flows.jsonl").write_text(
        f"{json.dumps(row)}\n{json.dumps({**row, 'dst': '10.0.0.2', 'protocol': 6, 'port': 1})}\n"
    )
    return tmp_path


def written(folder: Path, found: list[dict[str, Any]]) -> None:
    """The objects in files of hostile names, one of them of a harmless one."""
    for number, name in enumerate([b"a", *NAMES]):
        items = [own for at, own in enumerate(found) if (at == 5) == (number == 0)]
        if number:
            items = items[number - 1 :: 2]
        path = Path(os.fsdecode(os.fsencode(folder / "in") + b"/" + name + b".json"))
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    rest = [own for own in found if own.get("kind") != "NetworkPolicy"]
    content = {"apiVersion": "v1", "kind": "List", "items": rest}
    (folder / "new" / os.fsdecode(NAMES[0] + b".json")).write_text(json.dumps(content))
    (folder / "own.nft").write_text(
        netpolc.compile(netpolc.load_objects(ORDINARY)).ruleset().text()
    )


def test_every_command_is_tried() -> None:
    assert {*ARGUMENTS, *KERNEL} == set(COMMANDS)


@pytest.mark.parametrize("form", list(forms()), ids=" ".join)
@pytest.mark.parametrize("text", [TEXT, FORMULA], ids=["text", "formula"])
def test_no_form_of_a_command_lets_text_through(
    text: str, form: tuple[str, ...], folder: Path
) -> None:
    if "svg" in form and shutil.which("dot") is None:
        pytest.skip("needs Graphviz")
    found = hostile(text)
    assert json.dumps(found).count(json.dumps(text)) > 10
    written(folder, found)
    for arguments in ARGUMENTS[form[0]]:
        log = f"{TEXT}netpolc x IN=a SRC=10.0.0.1 DST={TEXT}\n{TEXT}".encode()
        outcome = invoke(form[0], *arguments, *form[1:], stdin=log)
        if "parquet" in form:  # holds every text as it is, and is read by programs alone
            judged(outcome.stderr)
            continue
        if "html" in form and outcome.code in (0, 1):
            well_formed(outcome.stdout, "html")
            data = outcome.stdout[outcome.stdout.index("</style>") :]
            judged("\n".join(line for line in data.splitlines() if "10.0.0" in line))
        else:
            judged(outcome.stdout, "csv" if "../flows.csv" in arguments else form[-1])
        judged(outcome.stderr)
        if outcome.stdout and len(form) > 1:
            well_formed(outcome.stdout, form[-1])


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\0", "") + "\ud800"], ids=["nul", "half"])
def test_no_field_that_is_refused_lets_text_through(text: str, folder: Path) -> None:
    forms_of_check = [form[-1] for form in forms() if form[0] == "check"]
    refused = 0
    for number, (at, as_key) in enumerate(PLACES):
        found = replaced(ORDINARY, at, text, as_key)
        written(folder, found)
        outcome = invoke("list", *GIVEN, "-v")
        refused += outcome.code == 2
        judged(outcome.stdout + outcome.stderr)
        form = forms_of_check[number % len(forms_of_check)]
        outcome = invoke("check", ".", "-o", form)
        judged(outcome.stdout, form)
        judged(outcome.stderr)
        well_formed(outcome.stdout, form)
    assert refused > 40


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_what_a_shell_makes_of_a_files_name_is_refused_in_one_line(name: str) -> None:
    outcome = invoke(name, "--x\n::error::FORGED\x1b[2J")
    assert outcome.code == 2
    judged(outcome.stdout + outcome.stderr)
