"""Writes files so that a reader never meets half of one: into a temporary file beside it, then
renamed.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import click

from netpolc.errors import SystemRefusal


def write(text: str, target: str | None) -> None:
    """Print, or write to a file whole or not at all."""
    if target is None or target == "-":
        click.echo(text, nl=False)
        return
    path = Path(target)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device cannot be replaced
            path.write_text(text)
            return
        temporary = _temporary(text, path)
        _rename(temporary, path)
    except OSError as error:
        raise _refusal(target, error) from error


@contextmanager
def writing(target: str | None) -> Iterator[TextIO]:
    """A stream to print to, or to a file that appears whole when the block ends well."""
    if target is None or target == "-":
        sys.stdout.flush()
        stream = io.TextIOWrapper(
            sys.stdout.buffer, encoding="utf-8", errors="surrogateescape", newline=""
        )
        try:
            yield stream
        finally:
            stream.detach()
        return
    path = Path(target)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            yield out
        temporary.replace(path)
    except OSError as error:
        raise _refusal(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_all(names: Sequence[str], folder: str, make: Callable[[str], str], suffix: str) -> None:
    """Write a file for each name, made in parallel over the cores; either all appear or none."""
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".netpolc-") as scratch:
            for name in _parallel(names, _Writer(make, Path(scratch), suffix)):
                (Path(scratch) / f"{name}{suffix}").replace(root / f"{name}{suffix}")
    except OSError as error:
        raise _refusal(folder, error) from error


class _Writer:
    """Makes and writes one file, in a forked worker that shares its parent's program."""

    def __init__(self, make: Callable[[str], str], folder: Path, suffix: str) -> None:
        self._make, self._folder, self._suffix = make, folder, suffix

    def __call__(self, name: str) -> str:
        (self._folder / f"{name}{self._suffix}").write_text(self._make(name))
        return name


_writer: _Writer | None = None


def _run(name: str) -> str:
    assert _writer is not None
    return _writer(name)


def _parallel(names: Sequence[str], writer: _Writer) -> Sequence[str]:
    cores = min(len(os.sched_getaffinity(0)), len(names))
    if cores < 2:
        return [writer(name) for name in names]
    global _writer  # inherited by the forked workers: a program is too large to send to each
    _writer = writer
    try:
        with multiprocessing.get_context("fork").Pool(cores) as pool:
            return pool.map(_run, names)
    finally:
        _writer = None


def _temporary(text: str, path: Path) -> Path:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _rename(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _refusal(target: str, error: OSError) -> SystemRefusal:
    return SystemRefusal(f"cannot write {target}: {error.strerror or error}")
