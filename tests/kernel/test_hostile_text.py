"""Text of tenants and repositories in every form of the commands that need a kernel.

In: the objects and file names of `tests/cli/test_hostile_text.py`, an odd object besides, applied
to a real kernel; a table whose comments somebody wrote. Out: what that file's `judged` accepts, in
each form of each command, and what systemd is told.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_hostile_text import (
    FORMULA,
    GIVEN,
    KERNEL,
    NAMES,
    ORDINARY,
    TEXT,
    hostile,
    judged,
    replaced,
    well_formed,
    written,
)
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
NODE = ("--node", "n", "--odd-objects", "isolate")
BEFORE = (os.fsdecode(NAMES[1]).replace("/", "") + ".nft",)
COMMANDS: list[tuple[int, str, tuple[str, ...]]] = [
    (1, "", ("status",)),
    (1, "json", ("status", "-o", "json")),
    (1, "prometheus", ("status", "-o", "prometheus")),
    (0, "", ("apply", *GIVEN, *NODE, "-v", "--plan")),
    (4, "", ("apply", *GIVEN, *NODE, "--dry-run", "--detailed-exitcode")),
    (0, "", ("apply", *GIVEN, *NODE, "-v", "--verify")),
    (0, "", ("apply", ".", *NODE, "--audit", "--save", *BEFORE)),
    (0, "", ("apply", ".", *NODE, "--save", *BEFORE)),
    (0, "", ("status",)),
    (0, "", ("status", *GIVEN, "--node", "n")),
    (0, "json", ("status", *GIVEN, "--node", "n", "-o", "json")),
    (0, "", ("status", "--counters")),
    (0, "", ("status", *GIVEN, "--counters")),
    (0, "json", ("status", *GIVEN, "--counters", "-o", "json")),
    (0, "prometheus", ("status", *GIVEN, "-o", "prometheus")),
    (0, "", ("top", *GIVEN, "--once", "--interval", "0.1")),
    (0, "", ("verify", *GIVEN, *NODE)),
    (1, "", ("verify", "../new", "--all-pods", *NODE[2:])),
    (1, "", ("confirm",)),
    (0, "", ("delete",)),
]
"""Exit code, form and arguments, one after the other."""


def odd(text: str) -> list[dict[str, Any]]:
    """Objects that are enforced otherwise than they were written, with the text all over them."""
    policy, a_pod, namespace = ORDINARY[5], ORDINARY[0], ORDINARY[2]
    in_rule = ("spec", "ingress", 0, "from", 1, "ipBlock", "cidr")
    found = []
    for number, (own, at) in enumerate(
        [
            (policy, ("metadata", "annotations", "netpolc.dev/audit")),
            (policy, in_rule),
            (policy, ("spec", "podSelector", "matchLabels", "app")),
            (policy, ("metadata", "name")),
            (a_pod, ("metadata", "name")),
            (a_pod, ("metadata", "labels", "app")),
            (a_pod, ("status", "podIP")),
            (namespace, ("metadata", "name")),
            (namespace, ("metadata", "labels", "b")),
        ]
    ):
        named = replaced(own, ("metadata", "name"), f"odd-{number}")
        if own is a_pod and at[-1] != "podIP":
            named = replaced(named, ("status", "podIP"), f"10.0.1.{number}")
        found.append(replaced(named, at, text))
    return found


def applied(text: str) -> list[dict[str, Any]]:
    """The text wherever it is accepted, and odd objects; but pods are where they were."""
    found = hostile(text)
    for number, address in enumerate(("10.0.0.1", "10.0.0.2")):
        found = replaced(found, (number, "spec", "nodeName"), "n")
        found = replaced(found, (number, "status", "podIP"), address)
    return [*found, *odd(text)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folders for `written`, and one for what is sent to systemd."""
    for name in ("in", "new"):
        (tmp_path / name).mkdir()
    return tmp_path


def run(router: Router, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in the folder of hostile names, inside the namespace."""
    command = [sys.executable, "-m", "netpolc", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return router.call(
        lambda: subprocess.run(
            command, capture_output=True, text=True, cwd=folder / "in", env=environment
        )
    )


def well_said(text: str, form: str) -> None:
    judged(text, form)
    if form == "prometheus":
        sample = r'(# (HELP|TYPE) \w+ .*|\w+(\{(\w+="([^"\\]|\\[\\"n])*",?)*\})? \d+)\n'
        assert re.fullmatch(f"({sample})*", text), text
    else:
        well_formed(text, form)


def test_every_command_is_tried() -> None:
    assert {arguments[0] for _, _, arguments in COMMANDS} == {*KERNEL, "verify"}


@pytest.mark.parametrize("text", [TEXT, FORMULA], ids=["text", "formula"])
def test_no_command_lets_text_through(text: str, folder: Path) -> None:
    written(folder, applied(text))
    seen = ""
    with Router() as router:
        for code, form, arguments in COMMANDS:
            outcome = run(router, folder, *arguments)
            said = arguments, outcome.stdout, outcome.stderr
            assert "Traceback" not in outcome.stderr, said
            assert outcome.returncode == code, said
            well_said(outcome.stdout, form)
            judged(outcome.stderr)
            seen += outcome.stdout + outcome.stderr
    assert seen.count("odd-") > 40


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\0", "") + "\ud800"], ids=["nul", "half"])
def test_what_is_refused_is_told_in_lines_of_netpolcs_own(text: str, folder: Path) -> None:
    written(folder, [*ORDINARY, *odd(text)])
    with Router() as router:
        assert run(router, folder, "apply", "a.json", "--all-pods").returncode == 0
        for command in ("apply", "status", "top", "verify"):
            arguments = (*GIVEN, "--odd-objects", "refuse")
            outcome = run(router, folder, command, *arguments)
            assert outcome.returncode == 2, (command, outcome.stdout, outcome.stderr)
            judged(outcome.stdout + outcome.stderr)


def test_what_somebody_wrote_into_the_table_is_escaped(folder: Path) -> None:
    written(folder, ORDINARY)
    with Router() as router:
        assert run(router, folder, "apply", ".", "--node", "n").returncode == 0
        text = TEXT.replace("\0", "").replace('"', "")[:120]
        router.load(
            f'add counter inet netpolc meta_odd_0 {{ comment "{text}"; }}\n'
            f'add counter inet netpolc drop_i_0 {{ comment "{text}"; }}\n'
            f'add table inet other {{ comment "{text}"; }}\n'
        )
        for form in ("", "json", "prometheus"):
            chosen = ("-o", form) if form else ()
            for arguments in (("status", *chosen), ("status", "--counters", *chosen)):
                outcome = run(router, folder, *arguments)
                assert outcome.returncode in (0, 1), outcome.stderr
                assert "Traceback" not in outcome.stderr
                well_said(outcome.stdout, form)
                judged(outcome.stderr)
        for arguments in (("apply", ".", "--node", "n", "--plan"), ("verify", ".", "--node", "n")):
            outcome = run(router, folder, *arguments)
            judged(outcome.stdout + outcome.stderr)
            assert "Traceback" not in outcome.stderr


@pytest.fixture
def notified(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where systemd is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(folder / "notify"))
        notify.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(folder / "notify"))
        yield notify


@pytest.mark.parametrize("refused", [False, True])
def test_no_text_becomes_a_word_to_systemd(
    refused: bool, folder: Path, notified: socket.socket
) -> None:
    written(folder, applied(TEXT))
    if refused:
        path = folder / "in" / os.fsdecode(NAMES[1] + b".json")
        path.write_text(json.dumps({"apiVersion": TEXT, "kind": "Pod", "items": TEXT})[:-1])
    command = [sys.executable, "-m", "netpolc", "apply", "--watch", ".", "--node", "n", "-v"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        Router() as router,
        router.call(
            lambda: subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=folder / "in",
                env=environment,
            )
        ) as watching,
    ):
        try:
            status = notified.recv(1 << 16).decode()
        finally:
            watching.terminate()
        stdout, stderr = watching.communicate(timeout=60)
    assert ("refused" in status) == refused, (status, stdout, stderr)
    for text in (status, stdout, stderr):
        judged(text)
    words = [line.partition("=")[0] for line in status.split("\n")]
    assert words == (["STATUS"] if refused else ["READY", "STATUS"])
