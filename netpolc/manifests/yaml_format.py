"""YAML as kubectl reads it, through PyYAML's C parser.

Comes in: bytes of one or more documents. Goes out: plain Python values with the paths of duplicate
keys and of tags that nobody knows. Refused: what libyaml refuses, keys that are no strings, aliases
that would expand without bound.

Scalars resolve as in kubectl's YAML, not as PyYAML has it: no timestamps (an API string) and no
base-60 integers (`port: 80:80` must not become 4880).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
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


_ANCHOR = re.compile(r"&([^\s,\[\]{}]+)")


class YamlDocument(NamedTuple):
    """One document: its value (None of an empty one), and what is odd about it."""

    value: object
    duplicates: list[Elements]
    """The paths of keys that stand there twice."""
    tags: list[tuple[Elements, str]]
    """Paths and tags of values whose tag nobody knows; they are read as if they had none."""

    def items(self, values: list[Any]) -> Iterator[YamlDocument]:
        """The `values` of its list `items`, each with what is odd about it."""
        duplicates: dict[object, list[Elements]] = {}
        tags: dict[object, list[tuple[Elements, str]]] = {}
        for path in self.duplicates:
            if len(path) > 2 and path[0] == "items":
                duplicates.setdefault(path[1], []).append(path[2:])
        for path, tag in self.tags:
            if len(path) > 1 and path[0] == "items":
                tags.setdefault(path[1], []).append((path[2:], tag))
        for index, value in enumerate(values):
            yield YamlDocument(value, duplicates.get(index, []), tags.get(index, []))


class _Loader(yaml.CSafeLoader):
    """Safe loader that notes duplicate keys and unknown tags."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicate_nodes: set[int] = set()
        self.tagged_nodes: dict[int, str] = {}

    def construct_tagged(self, node: Node) -> Any:
        """A value whose tag nobody knows; of a scalar its text."""
        self.tagged_nodes[id(node)] = node.tag
        if isinstance(node, MappingNode):
            return self.construct_mapping(node, deep=True)
        if isinstance(node, SequenceNode):
            return self.construct_sequence(node, deep=True)
        assert isinstance(node, ScalarNode)
        return self.construct_scalar(node)

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


class _ReusingLoader(Composer, _Loader):
    """The same where an anchor is defined twice: from then on its name is the later one.

    PyYAML's C composer refuses that, so this one composes what the C parser finds.
    """

    def __init__(self, text: str) -> None:
        _Loader.__init__(self, text)
        Composer.__init__(self)

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """The next node; an anchor at it is new."""
        event = self.peek_event()
        if isinstance(event, yaml.NodeEvent) and not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)
        return super().compose_node(parent, index)


def _loader_of(text: str) -> type[_Loader]:
    if "&" not in text or "*" not in text:
        return _Loader
    names = _ANCHOR.findall(text)
    return _Loader if len(set(names)) == len(names) else _ReusingLoader


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor(None, _Loader.construct_tagged)
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


def documents(data: bytes) -> Iterator[YamlDocument]:
    """Each document, in order."""
    text = decoded(data)
    try:
        _check_depth(text)
        loader = _loader_of(text)(text)
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node() said so
            if "&" in text and "*" in text:
                _check_expansion(node)
            loader.duplicate_nodes.clear()
            loader.tagged_nodes.clear()
            value = loader.construct_document(node)
            yield YamlDocument(value, *_noted(node, loader.duplicate_nodes, loader.tagged_nodes))
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


def _noted(
    root: Node, keys: set[int], tagged: dict[int, str]
) -> tuple[list[Elements], list[tuple[Elements, str]]]:
    """The paths of keys and tagged values that were noted while they were made."""
    duplicates: dict[Elements, None] = {}
    tags: dict[Elements, str] = {}

    def walk(node: Node, at: Elements) -> None:
        if id(node) in tagged:
            tags[at] = tagged[id(node)]
        for name, key, value in _children(node):
            if id(key) in keys:
                duplicates[(*at, name)] = None
            walk(value, (*at, name))

    if keys or tagged:
        walk(root, ())
    return list(duplicates), list(tags.items())


def roots(text: str) -> list[Node]:
    """The composed documents of a text, with the place of each part."""
    try:
        return list(yaml.compose_all(text, Loader=_loader_of(text)))
    except yaml.YAMLError as error:
        raise SyntaxProblem(0, 0, str(error)) from None


class Locator:
    """Finds line and column of a field by composing the text once more."""

    def __init__(self, data: bytes) -> None:
        text = decoded(data)
        self._roots = roots(text)
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
