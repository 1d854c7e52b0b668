"""Text that others wrote, form by form; what is expected is written by hand or read by others."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.core import foreign

ANY_TEXT = st.text(st.characters(codec=None) | st.sampled_from(":#[\x1b\n\r=@\u202e\ud800"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("shop/web", "shop/web"),
        ("naïve 日本", "naïve 日本"),
        ("a\x1b]0;t\x07", r"a\x1b]0;t\x07"),
        ("a\nb\r\tc\u2028", r"a\nb\r\tc\u2028"),
        ("\u202eevil\u2066", r"\u202eevil\u2066"),
        ("\x9b2J", r"\x9b2J"),
        ("a\udcff", r"a\udcff"),
        ("::error::no", r"\x3a:error::no"),
        ("  ::add-mask::no", r"  \x3a:add-mask::no"),
        ("::ERROR file=a::no", r"\x3a:ERROR file=a::no"),
        ("::/0", "::/0"),
        ("::ffff:0:0/96 -> fd00::1", "::ffff:0:0/96 -> fd00::1"),
        ("a ::error::b", "a ::error::b"),
        ("a ##vso[task.complete]b ##[group]", r"a \x23#vso[task.complete]b \x23#[group]"),
        ("###[x]", r"#\x23#[x]"),
        ("# one ## two", "# one ## two"),
        ("section_start:1:x\r\x1b[0K", r"section_start:1:x\r\x1b[0K"),
    ],
)
def test_a_line_is_shown_as_what_it_is(text: str, shown: str) -> None:
    assert foreign.inert(text) == shown


@given(ANY_TEXT)
def test_a_line_stays_a_line_however_often_it_is_escaped(text: str) -> None:
    once = foreign.inert(text)
    assert once.isprintable()
    assert foreign.inert(once) == once


@given(st.text(st.characters(codec="utf-8")))
def test_json_loses_nothing(text: str) -> None:
    written = foreign.to_json({text: [text]}, indent=2)
    assert json.loads(written) == {text: [text]}
    assert written.isascii()
    assert "##" not in written


def test_json_of_what_is_no_character_is_text() -> None:
    assert foreign.to_json("a\udcff😀") == r'"a\\udcff\ud83d\ude00"'
    assert json.loads(foreign.to_json("a\udcff")) == r"a\udcff"


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+cmd|'/c x'!A", "'=1+cmd|'/c x'!A"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("@x", "'@x"),
        ("-x", "'-x"),
        ("-", "-"),
        ("-12.5", "-12.5"),
        ("\t=x", r"\t=x"),
        ("a,b", '"a,b"'),
    ],
)
def test_a_cell_is_no_formula(text: str, cell: str) -> None:
    assert foreign.csv_cell(text) == cell


def test_copied_cells_keep_their_bytes_and_lose_what_steers() -> None:
    assert foreign.csv_copies(["é\udcff", "a\x1b[2J\udcfe", "=x"]) == [
        "é\udcff",
        "a\\x1b[2J\udcfe",
        "'=x",
    ]
    assert foreign.csv_copies(["10.0.0.1", "-5"]) == ["10.0.0.1", "-5"]


def test_markdown_neither_mentions_nor_links() -> None:
    assert foreign.markdown_cell("@all http://x www.x <b> [a](b) \x1b") == (
        "<!-- -->@all http:<!-- -->//x www<!-- -->.x \\<b\\> \\[a\\](b) \\\\x1b"
    )


def test_workflow_commands_end_where_they_end() -> None:
    assert foreign.github_value("50%\n::error::x") == r"50%25\n::error::x"
    assert foreign.github_property("a,b:c%") == "a%2Cb%3Ac%25"


def test_strings_of_dot_and_labels_of_prometheus_end_where_they_end() -> None:
    assert foreign.dot_string('a"\\N\nb\x1b') == r'"a\"\\N\nb\\x1b"'
    assert foreign.prometheus_label('a"\\\n\x1b') == r"a\"\\\n\\x1b"


class _Text(HTMLParser):
    """The elements and the text that a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@given(ANY_TEXT)
def test_text_in_a_table_is_no_markup(text: str) -> None:
    read = _Text(foreign.html_table(text, [text], [[text, 1]]))
    assert read.tags == ["table", "caption", "tr", "th", "tr", "td", "td"]
    shown = [foreign.inert(text)] if text else []
    assert [own for own in read.texts if own] == [*shown * 3, "1"]


def test_of_a_long_table_the_beginning_is_shown() -> None:
    written = foreign.html_table("<b>", ("a",), ((number,) for number in range(23)))
    assert written.startswith(
        "<table><caption>&lt;b&gt;</caption><tr><th>a</th></tr><tr><td>0</td>"
    )
    assert written.endswith("<tr><td>19</td></tr><tr><td>and 3 more</td></tr></table>")
