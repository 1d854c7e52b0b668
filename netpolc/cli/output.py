"""Where output goes: standard output, a file, or a file for each node; whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from errno import EISDIR
from typing import Any, TextIO

import click

from netpolc.cli import interruption
from netpolc.core.errors import SystemRefusal
from netpolc.files import created, opened, replacing, scratch

_TEXT: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
"""Bytes that are no UTF-8 come out as they came in."""


def write(text: str, target: str | None) -> None:
    """Print, or write to a file whole or not at all."""
    if target is None or target == "-":
        click.echo(text, nl=False)
        return
    with writing(target) as out:
        out.write(text)


def write_bytes(content: bytes, target: str | None) -> None:
    """The same of what is no text."""
    if target is None or target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        with replacing(target) as out:
            out.write(content)
    except OSError as error:
        raise _refusal(target, error) from error


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
    try:
        with replacing(target) as raw:
            out = io.TextIOWrapper(raw, **_TEXT)
            yield out
            out.detach()
    except OSError as error:
        raise _refusal(target, error) from error


def write_all(names: Sequence[str], folder: str, make: Callable[[str], str], suffix: str) -> None:
    """Write a file for each name, made in parallel over the cores; either all appear or none.

    A name of which there can be no file (too long, a folder) is found before any is made.
    """
    try:
        with opened(folder) as root, scratch(root) as made:
            for name in names:
                _check_name(root, f"{name}{suffix}")
            for name in _parallel(names, _Writer(make, made, suffix)):
                own = f"{name}{suffix}"
                os.replace(own, own, src_dir_fd=made, dst_dir_fd=root)
    except OSError as error:
        raise _refusal(folder, error) from error


def _check_name(folder: int, name: str) -> None:
    """`OSError`, which says of what, where no file of that name could be put."""
    try:
        is_folder = stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OSError(error.errno, f"{name}: {error.strerror}") from None
    if is_folder:
        raise IsADirectoryError(EISDIR, f"{name}: {os.strerror(EISDIR)}")


class _Writer:
    """Makes and writes one file, in a forked worker that shares its parent's program."""

    def __init__(self, make: Callable[[str], str], folder: int, suffix: str) -> None:
        self._make, self._folder, self._suffix = make, folder, suffix

    def __call__(self, name: str) -> str:
        with created(self._folder, f"{name}{self._suffix}", 0o666) as out:
            out.write(self._make(name).encode())
        return name


_writer: _Writer | None = None


def _run(name: str) -> str:
    assert _writer is not None
    return _writer(name)


def _parallel(names: Sequence[str], writer: _Writer) -> Sequence[str]:
    cores = min(len(os.sched_getaffinity(0)), len(names))
    if cores < 2:
        return [writer(name) for name in names]
    import multiprocessing  # which takes as long to import as half of what a command needs

    global _writer  # inherited by the forked workers: a program is too large to send to each
    _writer = writer
    try:
        with multiprocessing.get_context("fork").Pool(cores, interruption.forget) as pool:
            return pool.map(_run, names)
    finally:
        _writer = None


def _refusal(target: str, error: OSError) -> SystemRefusal:
    return SystemRefusal(f"cannot write {target}: {error.strerror or error}")
