"""All of YAML as kubectl reads it, through PyYAML's C parser.

Comes in: bytes of one or more documents. Goes out: plain Python values with the paths of duplicate
keys and of tags that nobody knows. Refused: what libyaml refuses, keys that are no strings, aliases
that would expand without bound. `yaml_format.py` asks it for what the extension leaves to it, or
for everything where there is no extension.

Scalars resolve as in kubectl's YAML, not as PyYAML has it (resolve.go of sigs.k8s.io/yaml): no
timestamps (an API string), no base-60 integers (`port: 80:80` must not become 4880), and `0o17`,
`0X1F` and `0B11` are numbers. A plain `y` or `n`, there a boolean, is the text that was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from netpolc.manifests.syntax import (
    Elements,
    SyntaxProblem,
    decoded,
    no_character,
    with_tabs,
)
from netpolc.manifests.yaml.yaml_document import FieldPlace, YamlDocument

MAX_EXPANSION = 10
"""How many times larger aliases may make a document; beyond 100,000 nodes in all."""
MAX_DEPTH = 100
_MAYBE_DEEP = re.compile(r"^[-?: ]{50}", re.MULTILINE)
_BASE60_OR_NO_API_TYPE = {
    "tag:yaml.org,2002:timestamp",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:value",
}


_ANCHOR = re.compile(r"&([-0-9A-Za-z_]+)")


class _Loader(yaml.CSafeLoader):
    """Safe loader that notes duplicate keys and unknown tags."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.duplicate_nodes: set[int] = set()
        self.tagged_nodes: dict[int, str] = {}

    def construct_object(self, node: Node, deep: bool = False) -> Any:
        """Any value; a text that is none of its tag is refused, whatever PyYAML makes of it."""
        try:
            return super().construct_object(node, deep=deep)
        except (AttributeError, IndexError, KeyError, ValueError):
            text = f"not a value of {node.tag.replace('tag:yaml.org,2002:', '!!', 1)}"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

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
        node.value = node.value.lower()  # of the letter of its base PyYAML knows the small one
        return int(super().construct_yaml_int(node))

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping with string keys; the last of equal keys counts, and is noted."""
        seen: set[str] = set()
        for key, _ in node.value:
            if _is_merge(key):
                continue
            if key.value in seen:
                self.duplicate_nodes.add(id(key))
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def flatten_mapping(self, node: MappingNode) -> None:
        """Put what merge keys take over before the mapping's own entries; of a list of mappings the
        first counts (https://yaml.org/type/merge.html), which PyYAML 6.0.4 has the other way round.
        """
        merged: dict[str, tuple[Node, Node]] = {}
        own = []
        for key, value in node.value:
            if not _is_merge(key):
                own.append((key, value))
                continue
            for part in reversed(value.value if isinstance(value, SequenceNode) else [value]):
                if not isinstance(part, MappingNode):
                    text = "<< takes a map, or a list of maps"
                    raise yaml.constructor.ConstructorError(None, None, text, part.start_mark)
                self.flatten_mapping(part)
                for inner, below in part.value:
                    merged[inner.value] = inner, below
        node.value = [*merged.values(), *own]


def _is_merge(key: Node) -> bool:
    """Whether a key is `<<`; any other becomes its text, also `1:` and `on:`, as kubectl has it."""
    if not isinstance(key, ScalarNode) or key.tag == "tag:yaml.org,2002:null":
        text = "keys must be strings"
        raise yaml.constructor.ConstructorError(None, None, text, key.start_mark)
    if key.tag == "tag:yaml.org,2002:merge":
        return True
    key.tag = "tag:yaml.org,2002:str"
    return False


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
    if "&" not in text:
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
    re.compile(r"[-+]?(?:0[bB][01_]+|0[0-7_]*|0[oO][0-7_]+|[1-9][0-9_]*|0[xX][0-9a-fA-F_]+)$"),
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


def all_documents(data: bytes) -> Iterator[YamlDocument]:
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
        raise no_character(text.encode(), error.position, error.reason) from None
    except yaml.YAMLError as error:
        raise SyntaxProblem(0, 0, f"broken YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise SyntaxProblem(0, 0, "nested too deeply") from None
    except ValueError as error:  # a number no integer can hold, as PyYAML's constructors say it
        raise SyntaxProblem(0, 0, f"broken YAML: {error}") from None


def _check_depth(text: str) -> None:
    """Refuse nesting that would exhaust the stack of PyYAML's C composer, which does not look."""
    if text.count("[") + text.count("{") < MAX_DEPTH // 2 and not _MAYBE_DEEP.search(text):
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
    return _at(mark, f"broken YAML: {with_tabs(message, text, mark.line, mark.column)}")


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


class Marks:
    """Where the fields of a text stand, by composing it once more."""

    def __init__(self, data: bytes) -> None:
        self._roots = roots(decoded(data))
        self._entries: dict[int, dict[str | int, tuple[Node, Node]]] = {}

    def find(self, document: int, elements: Elements) -> FieldPlace:
        """Where the deepest part that is there begins and ends."""
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
        first, start, end = key.start_mark, node.start_mark, node.end_mark
        return FieldPlace(first.line, first.column, start.line, start.column, end.line, end.column)
