"""What is not read, and what becomes of a command then.

Comes in: a snapshot. Goes out: lines on standard error. Refused (`InputError`): files of a folder
that are passed over, where a command says what a node enforces; policies of kinds that are not
judged, where that is asked for (`--unread error`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING

from netpolc.cli.terminal import warn
from netpolc.core.errors import UNREAD, InputError, Problems, Severity

if TYPE_CHECKING:
    from netpolc.core.cluster import Snapshot


class Heed(StrEnum):
    """How policies of kinds that are not judged are taken."""

    WARN = "warn"
    ERROR = "error"


def refuse_passed_over(names: Iterable[str]) -> None:
    """`InputError` for files that a command which only tells passes over: what a node enforces must
    not lack a policy because of what became of its file.
    """
    problems = Problems()
    for name in names:
        problems.add(name, "", "not a Kubernetes object: remove it, or give --exclude")
    problems.raise_errors()


def refuse_unread(snapshot: Snapshot) -> None:
    """`InputError` with every policy of a kind that is not judged, but for those that waive it."""
    found = [own for own in snapshot.warnings if own.code == UNREAD]
    if found:
        raise InputError([replace(own, severity=Severity.ERROR) for own in found])


def say_ignored(snapshot: Snapshot, verbose: bool) -> None:
    """What was not read at all, on standard error."""
    for name in snapshot.not_followed:
        warn(f"not followed: {name} is a link to a folder; give it as a PATH to have it read")
    over = snapshot.passed_over
    if verbose:
        for name in over:
            warn(f"passed over: {name}: no Kubernetes object")
        for kind, count in snapshot.ignored.items():
            warn(f"ignored: {count} {kind}")
    elif snapshot.ignored:
        count = sum(snapshot.ignored.values())
        objects = "object" if count == 1 else "objects"
        warn(f"ignored {count} {objects} of other kinds (-v names them)")
    if over and not verbose:
        files = "1 file" if len(over) == 1 else f"{len(over)} files"
        warn(f"passed over {files} with what is no Kubernetes object (-v names them)")
