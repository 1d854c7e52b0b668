"""The two sides of `netpolc diff --git`: a revision, and what is there now.

A path that one side does not have is empty there: it is new, or gone. What is broken at the
revision is told and left out, because the change that is looked at may be the one that mends it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from netpolc.cli.options import Reading
from netpolc.cli.terminal import warn
from netpolc.compiler import Program, compile, load_objects
from netpolc.core.errors import InputError, UsageError
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.manifests import File, Given, excluding, is_manifest
from netpolc.manifests.revisions import read_revision


def revision_and_now(
    reading: Reading, revision: str, paths: Sequence[str], common: Sequence[str]
) -> tuple[Program, Program]:
    """The programs of both sides, of which `common` is a part."""
    values = None
    if reading.values is not None and not reading.raw:
        space = reading.default_namespace or DEFAULT_NAMESPACE
        values = replace(reading.values, namespace=space)
    old = read_revision(revision, paths, excluding(reading.exclude), values)
    now = [path for path in paths if _is_there(path)]
    for path in paths:
        if path in old.missing and path not in now:
            raise UsageError(f"{path} is not in revision {revision}, nor is it a manifest now")
        if path in old.missing:
            warn(f"{path} is not in revision {revision}: everything in it is new")
        elif path not in now:
            warn(f"{path} is in revision {revision} only: everything in it is gone")
    for line in old.said:
        warn(line)
    for line in old.broken:
        warn(f"the old side is broken, and counts as empty: {line}")
    return _old(reading, old.files, common), _program(reading, [*now, *common])


def _is_there(path: str) -> bool:
    """Whether it is a file, or a folder with what may be manifests."""
    if not os.path.isdir(path):
        return os.path.lexists(path)
    for _, folders, files in os.walk(path):
        folders[:] = [own for own in folders if not own.startswith(".")]
        if any(map(is_manifest, files)):
            return True
    return False


def _program(reading: Reading, given: Sequence[Given]) -> Program:
    """What is given, which may be nothing."""
    is_nothing = not given and not reading.settings.stubs
    return compile(load_objects([])) if is_nothing else reading.program(given)


def _old(reading: Reading, files: Sequence[File], common: Sequence[str]) -> Program:
    """The old side; what is broken there is told, and files that cannot be read are left out."""
    left = list(files)
    try:
        return _program(reading, [*left, *common])
    except InputError as error:
        if not any(_is_of(own.place, file.name) for own in error.diagnostics for file in left):
            raise
        for diagnostic in error.diagnostics:
            warn(str(diagnostic))
        warn("the old side is broken: what can be read of it is compared, odd objects isolated")
    lenient = reading.around_odd()
    while True:
        try:
            return _program(lenient, [*left, *common])
        except InputError as error:
            places = [own.place for own in error.diagnostics]
            kept = [own for own in left if not any(_is_of(place, own.name) for place in places)]
            if len(kept) == len(left):
                raise
            left = kept


def _is_of(place: str, name: str) -> bool:
    return place == name or place.startswith(f"{name}:")
