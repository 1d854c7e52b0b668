"""The HTML report: one file that asks nothing of anybody.

Comes in: a `Table` or a `Difference`. Goes out: a page with its style, its script and a
`ReportDocument` as JSON inside. The content security policy admits that style and that script by
their digests and nothing else, no address to load from at all; what manifests say is data, which
the script only ever writes as text. No time is in it: the same tables give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from importlib.resources import files
from string import Template

import msgspec

from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.connectivity.table import Table
from netpolc.analysis.report.document import (
    Progress,
    ReportDocument,
    SeenTraffic,
    State,
    report_document,
)
from netpolc.core.cluster import not_judged
from netpolc.core.foreign import html_text, inert, inert_json

_SCRIPTS = ("model", "panel", "matrix", "list", "graph", "page")
"""In the order in which they build on each other."""
_HEADINGS = {
    (False, False): "Who can reach whom",
    (True, False): "What a change opens and closes",
    (False, True): "Who can reach whom, and who did",
    (True, True): "What a change opens and closes, and what was seen",
}
"""Of one snapshot or a change; without or with observed traffic."""
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""In JSON these are in strings only; without them no text can end or comment out its element."""


def report(
    table: Table,
    title: str,
    progress: Progress = lambda done, total: None,
    observed: SeenTraffic | None = None,
) -> str:
    """A page of who can reach whom; the title says of what, and `progress` counts rows. Traffic
    that was `observed` is shown over it; its numbers are those of `table.parties`.
    """
    after = State(table.reach, table.parties)
    document = report_document(title, after, None, progress, observed)
    return page(document, not_judged(table.reach.program.unread))


def comparison(
    difference: Difference,
    title: str,
    progress: Progress = lambda done, total: None,
    observed: SeenTraffic | None = None,
) -> str:
    """A page of what a change opens and closes, with the reasons before and after. Numbers of what
    was `observed` are those of `difference.pairs`.
    """
    before = State(difference.old, [pair.old for pair in difference.pairs])
    after = State(difference.new, [pair.new for pair in difference.pairs])
    document = report_document(title, after, before, progress, observed)
    programs = difference.old.program, difference.new.program
    return page(document, not_judged(own for side in programs for own in side.unread))


def page(content: ReportDocument, unread: str = "") -> str:
    """The page of a document, with a banner where something is not judged."""
    data = inert_json(msgspec.json.encode(content).decode())
    style = _source("page.css")
    # One function around them all: nothing of the page's is in the way of their names.
    script = f"(() => {{\n{''.join(_source(f'{name}.js') for name in _SCRIPTS)}}})();\n"
    return Template(_source("page.html")).substitute(
        title=escape(inert(content.title)),
        heading=_HEADINGS[content.before is not None, content.observed is not None],
        banner=f'<p class="banner" role="note">{html_text(unread)}</p>' if unread else "",
        style_digest=_digest(style),
        script_digest=_digest(script),
        digest=f"sha256:{hashlib.sha256(data.encode()).hexdigest()[:32]}",
        style=style,
        script=script,
        document=data.translate(_ESCAPES),
    )


def _source(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """A source of the content security policy (CSP level 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
