"""Writes files whole or not at all: into a temporary file beside the target, then renamed."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EISDIR
from pathlib import Path
from typing import Any, TextIO

import click

from netpolc.errors import SystemRefusal

_TEXT: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
"""Bytes that are no UTF-8 come out as they came in."""


def write(text: str, target: str | None) -> None:
    """Print, or write to a file whole or not at all."""
    if target is None or target == "-":
        click.echo(text, nl=False)
        return
    with writing(target) as out:
        out.write(text)


@contextmanager
def writing(target: str | None) -> Iterator[TextIO]:
    """A stream to print to, or to a file that appears whole when the block ends well."""
    if target is None or target == "-":
        sys.stdout.flush()
        stream = io.TextIOWrapper(sys.stdout.buffer, **_TEXT)
        try:
            yield stream
        finally:
            stream.detach()
        return
    path = Path(os.path.realpath(target))  # of a link the target is replaced, not the link
    try:
        if path.exists() and not path.is_file():  # a pipe or a device cannot be replaced
            with path.open("w", **_TEXT) as out:
                yield out
            return
        with _temporary(path) as temporary, temporary.open("w", **_TEXT) as out:
            yield out
            out.flush()
            temporary.replace(path)
    except OSError as error:
        raise _refusal(target, error) from error


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside a file, gone afterwards unless it was renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        if path.exists():
            shutil.copymode(path, temporary)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_all(names: Sequence[str], folder: str, make: Callable[[str], str], suffix: str) -> None:
    """Write a file for each name, made in parallel over the cores; either all appear or none."""
    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name in names:
            if (root / f"{name}{suffix}").is_dir():  # could not be replaced: find out before any is
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
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


def _refusal(target: str, error: OSError) -> SystemRefusal:
    return SystemRefusal(f"cannot write {target}: {error.strerror or error}")
