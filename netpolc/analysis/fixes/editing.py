"""Changes to the text of YAML that leave everything else as it is: comments, order, quotes.

Comes in: a text, and what to take out of it or to put in its place. Goes out: the text without it.
Refused (`NotEditable`): what cannot be taken out alone (an anchor that others use, the only
document), and every edit after which the text would say anything else than was asked for.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from netpolc.manifests.syntax import Elements, SyntaxProblem
from netpolc.manifests.yaml.pyyaml_format import roots
from netpolc.manifests.yaml.yaml_format import documents

_SEPARATOR = re.compile(r"(---|\.\.\.)(\s|$)")
_COMMENT = re.compile(r"\s*#")
_ANCHORED = re.compile(r"(^|[\s\[{,:-])[&*][^\s,\[\]{}]")


class NotEditable(Exception):
    """A change that cannot be made without touching anything else; the reason in words."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What becomes of one part of a document (of all of it, without elements): it goes, or a text
    takes its place.
    """

    document: int
    elements: Elements = ()
    text: str | None = None


def edited(text: str, edit: Edit) -> str:
    """The text after an edit."""
    try:
        nodes, before = roots(text), [found.plain for found in documents(text.encode())]
        expected = _expected(before, edit)
        lines = text.splitlines(keepends=True)
        if edit.text is not None:
            changed = _replaced(lines, _at(nodes[edit.document], edit.elements)[-1], edit.text)
        elif edit.elements:
            changed = _without(lines, _at(nodes[edit.document], edit.elements), edit.elements)
        else:
            changed = _without_document(lines, nodes, edit.document)
        after = [found.plain for found in documents(changed.encode())]
    except SyntaxProblem as problem:
        raise NotEditable(str(problem)) from None
    if after not in expected:
        raise NotEditable("its text cannot be taken apart")
    return changed


def _expected(before: list[Any], edit: Edit) -> list[list[Any]]:
    """What the documents may say afterwards: a map that would be empty may go, too."""
    after = deepcopy(before)
    if edit.text is not None:
        _part(after[edit.document], edit.elements[:-1])[edit.elements[-1]] = edit.text
        return [after]
    if not edit.elements:
        del after[edit.document]
        return [after]
    above, last = edit.elements[:-1], edit.elements[-1]
    del _part(after[edit.document], above)[last]
    if above and _part(after[edit.document], above) == {}:
        return [after, *_expected(after, Edit(edit.document, above))]
    return [after]


def _part(value: Any, elements: Elements) -> Any:
    for element in elements:
        value = value[element]
    return value


def _at(root: Node, elements: Elements) -> list[Node]:
    """The nodes on the way to a part, which is the last."""
    found = [root]
    for element in elements:
        node = found[-1]
        if isinstance(node, SequenceNode) and isinstance(element, int):
            found.append(node.value[element])
        elif isinstance(node, MappingNode):
            found.append({key.value: value for key, value in node.value}[element])
    return found


def _replaced(lines: list[str], node: Node, text: str) -> str:
    """Another text where a scalar stands, in its quotes."""
    start, end = node.start_mark, node.end_mark
    if not isinstance(node, ScalarNode) or start.line != end.line or node.style in ("|", ">"):
        raise NotEditable("it is no text on one line")
    quote = node.style or ""
    if (quote and quote in text) or "\\" in text:
        raise NotEditable("its quotes are in it")
    line = lines[start.line]
    lines[start.line] = f"{line[: start.column]}{quote}{text}{quote}{line[end.column :]}"
    return "".join(lines)


def _without(lines: list[str], way: list[Node], elements: Elements) -> str:
    """The lines without an entry of a list or a map."""
    parent, node = way[-2], way[-1]
    assert isinstance(parent, SequenceNode | MappingNode)
    whole = "".join(lines[node.start_mark.line : node.end_mark.line + 1])
    if _ANCHORED.search(whole):
        raise NotEditable("an anchor or an alias is in it")
    starts: list[Node] = [entry[0] if isinstance(entry, tuple) else entry for entry in parent.value]
    ends: list[Node] = [entry[1] if isinstance(entry, tuple) else entry for entry in parent.value]
    number = next(at for at, own in enumerate(ends) if own is node)
    if parent.flow_style:
        return _without_flow(lines, starts, ends, number)
    if len(ends) > 1:
        first, last = _block_of(lines, parent, starts[number], node)
        del lines[first : last + 1]
        return "".join(lines)
    return _without_only(lines, way, elements)


def _without_only(lines: list[str], way: list[Node], elements: Elements) -> str:
    """The lines without the only entry of a block: of a list `[]` is left, a map goes whole."""
    if len(way) < 3:
        raise NotEditable("nothing of it would be left")
    above, parent, node = way[-3:]
    if isinstance(parent, MappingNode):
        return _without(lines, way[:-1], elements[:-1])
    if not isinstance(above, MappingNode):
        raise NotEditable("it is the only entry of a list in a list")
    key = next(key for key, value in above.value if value is parent)
    first, last = _block_of(lines, parent, node, node)
    if first <= key.end_mark.line:
        raise NotEditable("its list begins on the line of its field")
    del lines[first : last + 1]
    line, column = lines[key.end_mark.line], key.end_mark.column
    colon = line.index(":", column) + 1
    lines[key.end_mark.line] = f"{line[:colon]} []{line[colon:]}"
    return "".join(lines)


def _block_of(lines: list[str], parent: Node, start: Node, node: Node) -> tuple[int, int]:
    """The first and the last line of an entry of a block, with the comments above that are its
    own.
    """
    column = parent.start_mark.column
    first = start.start_mark.line
    if isinstance(parent, SequenceNode):  # the entry begins behind its dash
        while not lines[first][column:].startswith("-") or lines[first][:column].strip():
            first -= 1
            if first < parent.start_mark.line:
                raise NotEditable("its dash is not at the beginning of a line")
    elif lines[first][:column].strip():
        raise NotEditable("it begins on the line of its list's dash")
    last, stop = node.end_mark.line, node.end_mark.column
    # A block ends where the next token begins: go back to its own last line.
    while last > first and (last >= len(lines) or _is_blank(lines[last][:stop])):
        last -= 1
        stop = len(lines[last])
    while last + 1 < len(lines) and _is_inner_comment(lines[last + 1], column):
        last += 1
    while first > 0 and _COMMENT.match(lines[first - 1]) and _indent(lines[first - 1]) >= column:
        first -= 1
    return first, last


def _is_blank(line: str) -> bool:
    return not line.strip() or _COMMENT.match(line) is not None


def _is_inner_comment(line: str, column: int) -> bool:
    return _COMMENT.match(line) is not None and _indent(line) > column


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _without_flow(lines: list[str], starts: list[Node], ends: list[Node], number: int) -> str:
    """The lines without an entry between brackets or braces, and without its comma."""
    begin, end = starts[number].start_mark, ends[number].end_mark
    if number + 1 < len(starts):
        end = starts[number + 1].start_mark
    elif number:
        begin = ends[number - 1].end_mark
    head, tail = lines[begin.line][: begin.column], lines[end.line][end.column :]
    if "#" in "".join(lines[begin.line : end.line]):
        raise NotEditable("a comment is between its brackets")
    lines[begin.line : end.line + 1] = [head + tail]
    return "".join(lines)


def _without_document(lines: list[str], nodes: list[Node], number: int) -> str:
    """The lines without one of several documents, and without its `---`."""
    if len(nodes) < 2:
        raise NotEditable("it is the only object of its file: remove the file")
    first = nodes[number].start_mark.line
    while first > 0 and not _SEPARATOR.match(lines[first]):
        first -= 1
    begins = [at for at in range(first + 1, len(lines)) if _SEPARATOR.match(lines[at])]
    last = begins[0] if begins else len(lines)
    if not _SEPARATOR.match(lines[first]):
        first = _below_header(lines, last)
    del lines[first:last]
    return "".join(lines)


def _below_header(lines: list[str], last: int) -> int:
    """Where the first document begins, below comments about the whole file: a blank line follows
    those.
    """
    at = 0
    while at < last and _COMMENT.match(lines[at]):
        at += 1
    return at + 1 if 0 < at < last and not lines[at].strip() else 0
