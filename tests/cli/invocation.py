"""Runs the command line: inside this process, or as the installed program.

In: arguments as a shell would pass them. Out: an `Outcome` with exit code, standard output and
standard error. Refused: an exception that reaches the user as a traceback (`AssertionError`).
"""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from netpolc.cli import main
from tests.helpers.scenarios import ROOT

NOBODY = 65534
_ENTER = 0o001
_MIXES = "mix_stderr" in inspect.signature(CliRunner).parameters  # before click 8.2
_APART: dict[str, Any] = {"mix_stderr": False} if _MIXES else {}
_OPENED = """
mount --bind "$1" /mnt
mount -t tmpfs -o mode=755 tmpfs "$2"
mkdir -p "$1"
mount --move /mnt "$1"
shift 2
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


def invoke(*arguments: str, stdin: bytes | None = None) -> Outcome:
    """A command inside this process."""
    result = CliRunner(**_APART).invoke(main, list(arguments), input=stdin)
    unexpected = result.exception
    if unexpected is not None and not isinstance(unexpected, SystemExit):
        raise AssertionError(f"a traceback for the user: {unexpected!r}") from unexpected
    return Outcome(result.exit_code, result.stdout, result.stderr)


def command_of(name: str) -> click.Command:
    """The command of this name."""
    found = main.get_command(click.Context(main), name)
    assert found is not None
    return found


def program() -> str:
    """The installed program that belongs to this interpreter."""
    beside = Path(sys.executable).with_name("netpolc")
    found = str(beside) if beside.exists() else shutil.which("netpolc")
    assert found is not None, "netpolc is not installed here"
    return found


def run(
    *arguments: str,
    stdin: bytes | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    user: int | None = None,
    timeout: float = 300,
) -> Outcome:
    """A command as a process of its own; `user` drops to an unprivileged one (as root only)."""
    done = subprocess.run(
        [program(), *arguments] if user is None else as_user(user, program(), *arguments),
        input=stdin if stdin is not None else b"",
        capture_output=True,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        timeout=timeout,
        check=False,
    )
    outcome = Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert outcome.code >= 0, f"killed by signal {-outcome.code}"
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome


def as_user(user: int, *command: str) -> list[str]:
    """A command as an unprivileged user, who may enter the checkout wherever it is.

    Below a folder that is closed to others (/root) the command sees nothing of that folder but the
    checkout, in mounts of its own.
    """
    dropped = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *command]
    closed = [own for own in reversed(ROOT.parents) if not own.stat().st_mode & _ENTER]
    if not closed:
        return dropped
    where = [str(ROOT), str(closed[0])]
    return ["unshare", "--mount", "sh", "-euc", _OPENED, "sh", *where, *dropped]
