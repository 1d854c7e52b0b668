"""YAML as kubectl reads it, through PyYAML's C parser.

Comes in: bytes of one or more documents. Goes out: plain Python values with the paths of duplicate
keys. Refused: what libyaml refuses, keys that are no strings, tags, aliases that would expand
without bound.

Scalars resolve as in kubectl's YAML, not as PyYAML has it: no timestamps (an API string) and no
base-60 integers (`port: 80:80` must not become 4880).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from netpolc.manifests.syntax import (
    Elements,
    Lines,
    NumberedLines,
    SyntaxProblem,
    decoded,
    numbered,
)

MAX_EXPANSION = 10
"""How many times larger aliases may make a document; beyond 100,000 nodes in all."""
MAX_DEPTH = 100
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What libyaml counts as the end of a line."""
_BLANK = re.compile(r"\s*(#.*)?$")
_MAYBE_DEEP = re.compile(r"^[-?: ]{100}", re.MULTILINE)
_BASE60_OR_NO_API_TYPE = {
    "tag:yaml.org,2002:timestamp",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:value",
}


class _Loader(yaml.CSafeLoader):
    """Safe loader that notes duplicate keys."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicate_nodes: set[int] = set()

    def construct_yaml_int(self, node: ScalarNode) -> int:
        """An integer that some API field could hold."""
        if len(node.value) > 66:
            text = f"a number of {len(node.value)} digits fits no field"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
        return int(super().construct_yaml_int(node))

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping with string keys; the last of equal keys counts, and is noted."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, ScalarNode) or key.tag == "tag:yaml.org,2002:null":
                raise yaml.constructor.ConstructorError(
                    None, None, "keys must be strings", key.start_mark
                )
            if key.tag == "tag:yaml.org,2002:merge":
                continue
            if key.value in seen:
                self.duplicate_nodes.add(id(key))
            seen.add(key.value)
            key.tag = "tag:yaml.org,2002:str"  # kubectl: a key is its text, also `1:` and `on:`
        return super().construct_mapping(node, deep=deep)


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _BASE60_OR_NO_API_TYPE]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(?:0b[01_]+|0[0-7_]*|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def documents(data: bytes) -> Iterator[tuple[int, object, list[Elements]]]:
    """Number, value and duplicate keys of each document; empty documents give None."""
    text = decoded(data)
    try:
        _check_depth(text)
        loader = _Loader(text)
        number = 0
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node() said so
            if "&" in text and "*" in text:
                _check_expansion(node)
            loader.duplicate_nodes.clear()
            value = loader.construct_document(node)
            yield number, value, _duplicates(node, loader.duplicate_nodes)
            number += 1
    except yaml.MarkedYAMLError as error:
        raise _marked(error, text) from None
    except yaml.reader.ReaderError as error:
        line, column = Lines(text[: error.position]).position(None)
        raise SyntaxProblem(line, column, f"broken YAML: {error.reason}") from None
    except yaml.YAMLError as error:
        raise SyntaxProblem(0, 0, f"broken YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise SyntaxProblem(0, 0, "nested too deeply") from None
    except ValueError as error:  # a number no integer can hold, as PyYAML's constructors say it
        raise SyntaxProblem(0, 0, f"broken YAML: {error}") from None


def _check_depth(text: str) -> None:
    """Refuse nesting that would exhaust the stack of PyYAML's C composer, which does not look."""
    if text.count("[") + text.count("{") < MAX_DEPTH and not _MAYBE_DEEP.search(text):
        return
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _at(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _at(mark: Any, message: str) -> SyntaxProblem:
    return SyntaxProblem(mark.line + 1, mark.column + 1, message)


def _marked(error: yaml.MarkedYAMLError, text: str) -> SyntaxProblem:
    mark = error.problem_mark or error.context_mark
    message = error.problem or error.context or "cannot be read"
    if mark is None:
        return SyntaxProblem(0, 0, f"broken YAML: {message}")
    lines = text.split("\n")
    if mark.line < len(lines) and "\t" in lines[mark.line][: mark.column + 1]:
        message += " (YAML does not allow tabs for indentation)"
    return _at(mark, f"broken YAML: {message}")


def _children(node: Node) -> Iterator[tuple[str | int, Node, Node]]:
    """Key, key node (the value itself in a list) and value node of each entry."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield str(key.value), key, value
    elif isinstance(node, SequenceNode):
        for number, value in enumerate(node.value):
            yield number, value, value


def _check_expansion(root: Node) -> None:
    """Refuse documents that aliases make far larger or deeper than their text, or endless."""
    sizes: dict[int, int] = {}
    depths: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_nodes:
            raise _at(node.start_mark, "an alias contains itself")
        open_nodes.add(id(node))
        children = [value for _, _, value in _children(node)]
        total = 1 + sum(map(size, children))
        depth = 1 + max((depths[id(child)] for child in children), default=0)
        if depth > MAX_DEPTH:
            raise _at(node.start_mark, f"aliases nest more than {MAX_DEPTH} levels deep")
        open_nodes.discard(id(node))
        sizes[id(node)], depths[id(node)] = total, depth
        return total

    if size(root) > max(100_000, MAX_EXPANSION * len(sizes)):
        message = f"aliases expand {len(sizes)} nodes to {sizes[id(root)]}"
        raise _at(root.start_mark, message)


def _duplicates(root: Node, keys: set[int]) -> list[Elements]:
    found: list[Elements] = []

    def walk(node: Node, at: Elements) -> None:
        for name, key, value in _children(node):
            if id(key) in keys:
                found.append((*at, name))
            walk(value, (*at, name))

    if keys:
        walk(root, ())
    return list(dict.fromkeys(found))


class Locator:
    """Finds line and column of a field by composing the text once more."""

    def __init__(self, data: bytes) -> None:
        text = decoded(data)
        try:
            self._roots = list(yaml.compose_all(text, Loader=_Loader))
        except yaml.YAMLError as error:
            raise SyntaxProblem(0, 0, str(error)) from None
        self._lines = _BREAK.split(text)
        self._entries: dict[int, dict[str | int, tuple[Node, Node]]] = {}

    def locate(self, document: int, elements: Elements, at_key: bool) -> tuple[int, int]:
        """Line and column of the value (or of its key), or of the deepest part that is there."""
        mark = self._find(document, elements)[0 if at_key else 1].start_mark
        return mark.line + 1, mark.column + 1

    def excerpt(self, document: int, elements: Elements) -> NumberedLines:
        """The lines from the key of a field to the end of its value."""
        key, node = self._find(document, elements)
        start, end = key.start_mark, node.end_mark
        last, stop = end.line, end.column
        # A block ends where the next token begins: go back to its own last line.
        while last > start.line and _BLANK.match(self._lines[last][:stop]):
            last -= 1
            stop = len(self._lines[last])
        return numbered(self._lines[start.line : last + 1], start.line + 1, start.column, stop)

    def _find(self, document: int, elements: Elements) -> tuple[Node, Node]:
        """Key (the value itself in a list) and value of the deepest part that is there."""
        key = node = self._roots[document]
        for element in elements:
            entries = self._entries.get(id(node))
            if entries is None:  # of duplicates the last one counts
                entries = {name: (key, value) for name, key, value in _children(node)}
                self._entries[id(node)] = entries
            found = entries.get(element)
            if found is None:
                break
            key, node = found
        return key, node
