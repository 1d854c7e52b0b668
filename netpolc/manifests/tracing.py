"""Where what a kustomization made was written: its objects, found again in its files.

Comes in: the files that a kustomization names, and an object of what it made. Goes out: the object
of the same kind and name in these files (the name may have got a prefix or a suffix), with the
field, as far as it is the same in both. Nothing, where none or several could be meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from netpolc.core.errors import Problems
from netpolc.manifests.documents import Document
from netpolc.manifests.files import Field, File, Trace, Whereabouts
from netpolc.manifests.splitting import Head, content_of, documents_of
from netpolc.manifests.syntax import Elements


def tracer(sources: Sequence[str]) -> Trace:
    """What finds objects again in these files; they are read when it is asked the first time."""
    originals: dict[str, list[tuple[str, Document]]] = {}

    def trace(file: File, document: int, at: Field, field: Field) -> _Traced | None:
        if not originals:
            originals[""] = []
            for name in sources:
                for own in _documents(File(name)):
                    originals.setdefault(own.kind, []).append((_name(own), own))
        made = _made(file).get((document, tuple(at)))
        if made is None:
            return None
        name = _name(made)
        known = originals.get(made.kind, [])
        found = [own for called, own in known if called == name]
        found = found or [own for called, own in known if called and called in name]
        if len(found) != 1:
            return None
        return found[0].source, tuple(_shared(_plain(made), _plain(found[0]), field))

    return trace


_Traced = tuple[Whereabouts, Field]


@lru_cache(maxsize=4)
def _made(file: File) -> dict[tuple[int, Elements], Document]:
    return {(own.source.document, tuple(own.source.at)): own for own in _documents(file)}


def _documents(file: File) -> Iterator[Document]:
    """The objects of a file, as far as they can be read."""
    return documents_of(file, content_of(file), Problems(), Head)


def _plain(document: Document) -> Any:
    content = document.content
    return msgspec.json.decode(content) if isinstance(content, msgspec.Raw) else content


def _name(document: Document) -> str:
    metadata = _plain(document).get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def _shared(made: Any, original: Any, field: Field) -> Iterator[str | int]:
    """The steps of a field that lead to the same in both: not into lists of other lengths."""
    for step in field:
        if isinstance(made, dict) and isinstance(original, dict):
            if step not in made or step not in original:
                return
        elif isinstance(made, list) and isinstance(original, list):
            if len(made) != len(original) or not isinstance(step, int) or step >= len(made):
                return
        else:
            return
        yield step
        made, original = made[step], original[step]
