"""Reads manifests: files, folders, standard input, multi-document YAML, JSON, and lists of objects.

Comes in: paths. Goes out: `Document` values, one for each Kubernetes object. Refused, with
`file:line:column`: what is no manifest (`splitting.py`; inside a folder only what looks like one,
`likeness.py`), what cannot be read (`files.py`), and paths that hold no manifest at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from netpolc.core.errors import Problems
from netpolc.manifests.documents import Document, Likely, ManifestSource, Scan, line_at
from netpolc.manifests.files import (
    SUFFIXES,
    Excluded,
    File,
    Given,
    excluding,
    find,
    is_manifest,
    lasting,
    nothing,
    states,
)
from netpolc.manifests.given import plain_objects
from netpolc.manifests.splitting import Content, Head, content_of, documents_of
from netpolc.manifests.syntax import NumberedLines

__all__ = [
    "SUFFIXES",
    "Content",
    "Document",
    "Excluded",
    "File",
    "Given",
    "ManifestSource",
    "NumberedLines",
    "Seen",
    "different",
    "documents_of",
    "excluding",
    "find",
    "is_manifest",
    "line_at",
    "nothing",
    "read",
    "read_objects",
    "settled",
]

Seen = Callable[[File, Content], None]
READINGS = 5
"""How often files that change while they are read are read again."""


def read(
    paths: Sequence[Given],
    problems: Problems,
    likely: type[Likely] = Head,
    excluded: Excluded = nothing,
    raw: bool = False,
    scan: Scan | None = None,
    seen: Seen | None = None,
) -> Iterator[Document]:
    """All objects of the given files and folders (recursive, in sorted order), one after another
    so that no two of them need to be decoded at once; `-` is standard input.

    Hidden files and folders are passed over inside a folder, and so is what is `excluded` or looks
    like no object (`Problems.passed_over`). Kustomizations and charts are refused; if `raw`, files
    of the first are read as they are, the others passed over. What cannot be read goes to
    `problems`, a file at a time, so that one broken file does not hide the next. Files that change
    while they are read are read again: half a file may be a snapshot, too. `problems` has what
    cannot be read before all that is found in the meantime. JSON objects that are of the form
    `likely` are decoded as that where their kind is looked for (`Document.typed`), but for items of
    lists of which `scan` is sure. `seen` is told of each file that is read what it holds.
    """
    given = [own for path in paths for own in lasting(path, problems)]
    place, found = len(problems.diagnostics), Problems()
    contents = settled(given, found, excluded, raw)
    if seen is not None:
        for own in contents:
            seen(*own)
    try:
        yield from _all_documents(contents, paths, found, likely, scan)
    finally:
        problems.diagnostics[place:place] = found.diagnostics
        problems.passed_over += found.passed_over
        read_anyway = {os.path.realpath(p) for p in paths if not isinstance(p, File)}
        links = (p for p in found.not_followed if os.path.realpath(p) not in read_anyway)
        problems.not_followed += links


def settled(
    given: Sequence[Given], problems: Problems, excluded: Excluded = nothing, raw: bool = False
) -> list[tuple[File, Content]]:
    """What all files hold at one moment, none of it parsed; paths as of `read`, none of which can
    be read only once. Files that never rest are problems, and then there is nothing.
    """
    for number in range(READINGS):
        found = Problems()
        files = list(find(given, found, excluded, raw))
        before = states(files)
        contents = [(file, content_of(file)) for file in different(files)]
        changed = before ^ states(find(given, Problems(), excluded, raw))
        if not changed:
            problems.diagnostics += found.diagnostics
            problems.passed_over += found.passed_over
            problems.not_followed += found.not_followed
            return contents
        time.sleep(0.1 * 2**number)
    for name in sorted({name for name, *_ in changed}):
        problems.add(name, "", f"changed during each of {READINGS} readings")
    return []


def different(files: Iterable[File]) -> Iterator[File]:
    """The files, each once whatever links lead to it."""
    seen: set[str] = set()
    folders: dict[str, str] = {}
    for file in files:
        real = _real(file.name, folders) if file.data is None else file.name
        if real in seen:
            continue
        seen.add(real)
        yield file


def _real(name: str, folders: dict[str, str]) -> str:
    """The real path of a file; `folders` remembers those of folders."""
    if os.path.islink(name):
        return os.path.realpath(name)
    folder, base = os.path.split(name)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], base)


def _all_documents(
    contents: list[tuple[File, Content]],
    paths: Sequence[Given],
    problems: Problems,
    likely: type[Likely],
    scan: Scan | None,
) -> Iterator[Document]:
    any_document = False
    contents.reverse()
    while contents:
        for document in documents_of(*contents.pop(), problems, likely, scan):
            any_document = True
            yield document
    if not any_document and not problems.diagnostics:
        given = ", ".join(p.name if isinstance(p, File) else str(p) for p in paths)
        problems.add(given, "", "no Kubernetes object in there")


def read_objects(objects: Iterable[object], problems: Problems) -> list[Document]:
    """The same for manifests that are already parsed (`given.py`), read as one JSON list."""
    content = {"apiVersion": "v1", "kind": "List", "items": plain_objects(objects, problems)}
    file = File("<objects>", msgspec.json.encode(content))
    return list(documents_of(file, content_of(file), problems))
