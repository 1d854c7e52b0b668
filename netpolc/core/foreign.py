r"""Text that others wrote, in every form that netpolc writes: names, file names, labels, messages.

Comes in: any text, as a tenant, a repository or a log may hold it. Goes out: the same as data of
one form. In none of them can it steer a terminal, begin another line, turn what is read around
(Unicode UAX #9), end its cell or string, or become a command of whoever reads the output: runners
of CI take commands from what programs print (`::error::` at the start of a line, `##[group]` and
`##vso[...]` anywhere in it). Forms that can say any character (JSON) lose nothing; in the others an
odd character is shown by its escape, `\x1b`. Nothing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import islice

from netpolc.core.errors import printable

_LINE_COMMAND = re.compile(r"^(\s*):(?=:[a-z-]*[g-z-])", re.IGNORECASE)
"""Of GitHub Actions: a name between colons. IPv6 addresses, which have no such letter, stay."""
_MARKED_COMMAND = re.compile(r"#(?=#\w*\[)")
"""Of GitHub Actions (`##[`), Azure Pipelines (`##vso[`) and TeamCity (`##teamcity[`)."""
_NOT_IN_JSON = re.compile(r"[^\n -~]|#(?=#)")
_FORMULA = re.compile(r"[=+@-](?![-+.,\d]*$)")
"""What spreadsheets execute; numbers and dashes are none."""
_SUSPECT = re.compile(r"(?:^|\|)\s*[:=+@-]|##")
_UNDECODABLE = re.compile("([\udc80-\udcff]+)")
_CSV_QUOTED = re.compile(r'[",\r\n]')
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|~&])")
_NOT_PLAIN = re.compile(r"[^-A-Za-z0-9._/]", re.ASCII)
_MOST_OF_A_WORD = 40
_MOST_ROWS = 20
_MERMAID = re.compile(r"[^-\w .,:/()+=~]", re.ASCII)
_LINKED = re.compile(r"@|(?<=:)//|(?<=www)\.", re.IGNORECASE)


def inert(text: str) -> str:
    """One line, or a piece of one, for people: printable, and no command of a runner."""
    text = _LINE_COMMAND.sub(r"\1\\x3a", printable(text))
    return _MARKED_COMMAND.sub(r"\\x23", text)


def to_json(value: object, indent: int | None = None) -> str:
    """JSON in ASCII; what is no character (a byte of a file name) is text, `\\udcff`."""
    import json  # few commands write any

    return inert_json(json.dumps(value, indent=indent, ensure_ascii=False))


def inert_json(text: str) -> str:
    """The same for what is JSON already."""
    return _NOT_IN_JSON.sub(_json_escape, text)


def _json_escape(found: re.Match[str]) -> str:
    character = ord(found[0])
    if 0xD800 <= character <= 0xDFFF:
        return f"\\\\u{character:04x}"
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def csv_text(text: str) -> str:
    """What a cell of CSV may say: no formula, nothing that is no text."""
    text = inert(text)
    return f"'{text}" if _FORMULA.match(text) else text


def csv_copies(cells: Sequence[str]) -> Sequence[str]:
    """The same for cells copied from a file, whose undecodable bytes stay (surrogateescape)."""
    if is_copied(cells):  # almost every row
        return cells
    return [_csv_copy(cell) for cell in cells]


def is_copied(cells: Sequence[str]) -> bool:
    """Whether `csv_copies` gives all of some cells as they are."""
    row = "|".join(cells)
    return row.isprintable() and not _SUSPECT.search(row)


def _csv_copy(cell: str) -> str:
    pieces = _UNDECODABLE.split(cell)
    text = "".join(own if number % 2 else inert(own) for number, own in enumerate(pieces))
    return f"'{text}" if _FORMULA.match(text) else text


def csv_cell(text: str) -> str:
    """A cell of CSV (RFC 4180)."""
    text = csv_text(text)
    return '"{}"'.format(text.replace('"', '""')) if _CSV_QUOTED.search(text) else text


def markdown_cell(text: str) -> str:
    """A cell of a table of GitHub Flavored Markdown: no markup, no link, nobody is mentioned."""
    line = inert(" ".join(text.splitlines()))
    return _LINKED.sub(r"<!-- -->\g<0>", _MARKUP.sub(r"\\\1", line))


def html_text(text: str) -> str:
    """Text between tags, or in the quotes of an attribute."""
    import html  # a table of every entity that there is

    return html.escape(inert(text))


def html_table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A small table, as notebooks show it; of many rows the first, and that there are more."""
    rows = iter(rows)
    shown = [_html_row("td", row) for row in islice(rows, _MOST_ROWS)]
    more = sum(1 for _ in rows)
    if more:
        shown.append(_html_row("td", [f"and {more} more"]))
    body = "".join([_html_row("th", heads), *shown])
    return f"<table><caption>{html_text(caption)}</caption>{body}</table>"


def _html_row(tag: str, cells: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html_text(str(cell))}</{tag}>' for cell in cells)}</tr>"


def github_value(text: str) -> str:
    """The message of a workflow command of GitHub Actions."""
    return inert(text).replace("%", "%25")


def github_property(text: str) -> str:
    """A property of such a command."""
    return github_value(text).replace(":", "%3A").replace(",", "%2C")


def dot_string(text: str) -> str:
    r"""A string of DOT, in which `\N` would be the node's name; lines stay lines."""
    return '"{}"'.format("\\n".join(_quotable(line) for line in text.split("\n")))


def mermaid_string(text: str) -> str:
    """A text in quotes of Mermaid, which draws it as HTML and knows entities as `#quot;`; lines
    stay lines.
    """
    lines = (_MERMAID.sub(_entity, inert(line)) for line in text.split("\n"))
    return '"{}"'.format("<br/>".join(lines))


def _entity(found: re.Match[str]) -> str:
    return f"#{ord(found[0])};"


def prometheus_label(text: str) -> str:
    """The value of a label in Prometheus' text format, between its quotes."""
    return "\\n".join(_quotable(line) for line in text.split("\n"))


def _quotable(line: str) -> str:
    return inert(line).replace("\\", "\\\\").replace('"', '\\"')


def in_quotes(text: str) -> str:
    """In double quotes, which nothing inside can end; whoever writes it out escapes the rest."""
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def ruleset_word(text: str) -> str:
    """A word inside the quotes of a ruleset, for people: nft has no escape, so what is not plain
    becomes `_`, and of a long text only the beginning is there.
    """
    return _NOT_PLAIN.sub("_", text[:_MOST_OF_A_WORD])
