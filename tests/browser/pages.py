"""Pages of the report, opened in a browser: of three pods, or of many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import netpolc
from netpolc.analysis.connectivity import Table
from netpolc.analysis.report import report
from tests.browser.devtools import Browser, Page
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

CONTROL = 2
FROM_WEB = {"from": [{"podSelector": {"matchLabels": {"name": "web"}}}], "ports": [{"port": 5432}]}
DB = policy("shop/db", podSelector={"matchLabels": {"name": "db"}}, ingress=[FROM_WEB])
PODS = [
    node("node-a", "192.168.0.10"),
    namespace("ops"),
    namespace("shop"),
    pod("ops/admin", "10.0.0.1"),
    pod("shop/db", "10.0.0.2"),
    pod("shop/web", "10.0.0.3"),
]
"""With DB: everybody reaches everybody, outside too, but only web reaches db, on TCP 5432: 10."""
FOCUS = "document.activeElement.getAttribute('aria-label')"
COUNT = "#count"


def table(objects: list[Manifest], folder: Path) -> Table:
    path = folder / "all.json"
    path.write_text(json.dumps({"kind": "List", "items": objects}))
    return Table(netpolc.compile(netpolc.load([str(path)])))


@contextmanager
def opened(
    browser: Browser,
    folder: Path,
    fragment: str = "",
    *,
    html: str = "",
    size: tuple[int, int] = (1280, 800),
    dark: bool = False,
) -> Iterator[Page]:
    """The page of three pods and DB, or another; nothing may be asked for or complained about."""
    path = folder / "report.html"
    path.write_text(html or report(table([*PODS, DB], folder), "title"), encoding="utf-8")
    with browser.page(path, fragment, size=size, dark=dark) as page:
        yield page
        assert page.complaints == []
        assert page.requests == [path.as_uri()]
        assert page.eval("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"


def put(page: Page, control: str, value: str) -> None:
    """Set a control as a person would: the page hears of it."""
    page.eval(
        f"(() => {{ const c = document.getElementById('{control}'); c.value = {json.dumps(value)};"
        " c.dispatchEvent(new Event('input', {bubbles: true})); })()"
    )


def move_to(page: Page, fragment: str) -> None:
    page.eval(f"void (location.hash = {json.dumps(fragment)})")
    page.wait("!document.getElementById('panel').hidden")


def ring(count: int) -> list[Manifest]:
    """Pods of which each is reached by the one before it alone; all reach the outside."""
    objects: list[Manifest] = [node("node-a", "192.168.0.10")]
    objects += [namespace(f"team-{number}") for number in range(10)]
    for number in range(count):
        name = f"team-{number % 10}/p{number:03}"
        before = {"matchLabels": {"name": f"p{(number - 1) % count:03}"}}
        peers = [{"namespaceSelector": {}, "podSelector": before}]
        own = {"matchLabels": {"name": f"p{number:03}"}}
        objects.append(pod(name, f"10.0.{number // 200}.{number % 200 + 1}"))
        objects.append(policy(name, podSelector=own, ingress=[{"from": peers}]))
    return objects
