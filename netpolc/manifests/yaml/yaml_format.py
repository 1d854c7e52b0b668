"""YAML as kubectl reads it: through the extension where it is built, as JSON.

Comes in: bytes of one or more documents. Goes out: each document, as JSON or in plain Python
values, with the paths of duplicate keys and of tags that nobody knows. Refused: what libyaml
refuses. What the extension leaves alone (tags, keys that are no strings, aliases without bound) is
read by `pyyaml_format.py`, which also says what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property

import msgspec

from netpolc.manifests.json_format import checked
from netpolc.manifests.syntax import (
    Elements,
    NumberedLines,
    SyntaxProblem,
    decoded,
    no_character,
    numbered,
    with_tabs,
)
from netpolc.manifests.yaml.yaml_document import FieldPlace, YamlDocument

try:
    from netpolc.manifests.yaml import _yaml

    BUILT = True
except ImportError:  # where this was built there is no libyaml
    BUILT = False

MAX_BYTES = 64 << 20
"""Of what PyYAML reads, about 1 MB/s; the extension has no such limit, and JSON has none."""
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What libyaml counts as the end of a line."""
_BLANK = re.compile(r"\s*(#.*)?$")


def documents(data: bytes) -> Iterator[YamlDocument]:
    """Each document, in order."""
    if not BUILT:
        yield from _by_pyyaml(data, "", -1, -1)
        return
    text = checked(data)
    try:
        found, broken = _yaml.transcode(text)
    except _yaml.Unusual as unusual:
        yield from _by_pyyaml(data, unusual.what, unusual.line, unusual.column)
        return
    for number, (value, duplicates) in enumerate(found):
        found[number] = b"", []  # not kept while others are read
        is_object = value.startswith(b"{")
        own = msgspec.Raw(value) if is_object else msgspec.json.decode(value)
        yield YamlDocument(own, duplicates, [])
    if broken is not None and broken.offset >= 0:
        raise no_character(text, broken.offset, broken.reason)
    if broken is not None:
        reason = with_tabs(broken.reason, text.decode(), broken.line, broken.column)
        raise SyntaxProblem(broken.line + 1, broken.column + 1, f"broken YAML: {reason}")


def _by_pyyaml(data: bytes, what: str, line: int, column: int) -> Iterator[YamlDocument]:
    if len(data) > MAX_BYTES:
        size = f"{len(data) / 1e6:.0f} MB of YAML{what and f' with {what}'}"
        text = f"{size} is too large; use JSON (kubectl get -o json)"
        raise SyntaxProblem(line + 1, column + 1, text)
    from netpolc.manifests.yaml import pyyaml_format

    yield from pyyaml_format.all_documents(data)


class Locator:
    """Finds line and column of a field by reading the text once more."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._find: Callable[[int, Elements], tuple[int, int, int, int, int, int]]
        if not BUILT:
            from netpolc.manifests.yaml import pyyaml_format

            self._find = pyyaml_format.Marks(data).find
            return
        try:
            self._find = _yaml.Marks(checked(data)).find
        except (_yaml.Broken, _yaml.Unusual) as error:
            raise SyntaxProblem(0, 0, str(error)) from None

    def locate(self, document: int, elements: Elements, at_key: bool) -> tuple[int, int]:
        """Line and column of the value (or of its key), or of the deepest part that is there."""
        found = FieldPlace(*self._find(document, elements))
        if at_key:
            return found.key_line + 1, found.key_column + 1
        return found.line + 1, found.column + 1

    def excerpt(self, document: int, elements: Elements) -> NumberedLines:
        """The lines from the key of a field to the end of its value."""
        found = FieldPlace(*self._find(document, elements))
        first, last, stop = found.key_line, found.end_line, found.end_column
        # A block ends where the next token begins: go back to its own last line.
        while last > first and _BLANK.match(self._lines[last][:stop]):
            last -= 1
            stop = len(self._lines[last])
        return numbered(self._lines[first : last + 1], first + 1, found.key_column, stop)

    @cached_property
    def _lines(self) -> list[str]:
        return _BREAK.split(decoded(self._data))
