"""The report in headless Chromium, without a network: what one sees, clicks and types.

In: clusters small enough to count by hand, and one of 300 workloads. Out: texts on the page, the
focus, the address, and that the page neither complained nor asked anybody for anything.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import netpolc
from netpolc.analysis.connectivity import Grouping, Table
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.report import comparison, report
from tests.browser.devtools import Browser
from tests.browser.pages import CONTROL, COUNT, DB, FOCUS, PODS, move_to, opened, put, ring, table
from tests.helpers.manifests import Manifest, pod, policy

pytestmark = pytest.mark.browser
SSH = {"tcp": {"destinationPort": {"number": 22}}}
GUARD: Manifest = {
    "apiVersion": "policy.networking.k8s.io/v1alpha2",
    "kind": "ClusterNetworkPolicy",
    "metadata": {"name": "guard"},
    "spec": {
        "tier": "Admin",
        "priority": 1,
        "subject": {"namespaces": {}},
        "ingress": [
            {
                "name": "no ssh",
                "action": "Deny",
                "from": [{"namespaces": {}}],
                "protocols": [SSH],
            }
        ],
    },
}


def test_it_opens_without_a_network(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path) as page:
        assert page.text(COUNT) == "10 connections"
        assert page.text("#facts") == "3 workloads, 1 address range, 2 namespaces"
        assert page.eval("document.querySelector('.grid').getAttribute('aria-rowcount')") == "4"


def test_one_searches_and_filters(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path) as page:
        page.press("/")
        page.press("d", "b")
        assert page.eval("document.activeElement.value") == "db"
        assert page.text(COUNT) == "4 connections"
        put(page, "direction", "to")
        assert page.text(COUNT) == "1 connection"
        put(page, "direction", "from")
        assert page.text(COUNT) == "3 connections"
        page.click_on("button[type=reset]")
        assert page.text(COUNT) == "10 connections"
        put(page, "namespace", "ops")
        assert page.text(COUNT) == "5 connections"
        put(page, "namespace", "\n")  # outside the cluster
        assert page.text(COUNT) == "5 connections"
        page.click_on("#none")
        page.click_on("#tab-list")
        assert page.eval("document.querySelectorAll('.line.none').length") == 2  # to db, to itself


def test_an_identity_can_be_in_several_namespaces(browser: Browser, tmp_path: Path) -> None:
    twins = [pod("ops/a", "10.0.0.8", app="twin"), pod("shop/b", "10.0.0.9", app="twin")]
    program = netpolc.compile(netpolc.load_objects([*PODS[:3], PODS[4], *twins, DB]))
    html = report(Table(program, Grouping.IDENTITY), "title")
    with opened(browser, tmp_path, html=html) as page:
        assert page.text("#facts") == "2 workloads, 1 address range, 1 namespace"
        assert page.text("#namespace").split("\n") == [
            "all", "several namespaces", "shop", "outside the cluster",
        ]  # fmt: skip
        put(page, "namespace", "\t")
        assert (
            page.text(COUNT) == "4 connections"
        )  # the twins: each other, outside both ways, from db


def test_ports_are_filtered(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path) as page:
        for port, count in (
            ("5432", 10), ("tcp/5432", 10), ("TCP 5431", 9), ("UDP", 9),
            ("udp/5432", 9), ("tcp", 10),
        ):  # fmt: skip
            put(page, "port", port)
            assert page.text(COUNT) == f"{count} connections", port
            assert page.text("#port-problem") == ""


def test_what_is_no_port_is_said(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path) as page:
        for port in ("http", "0", "65536", "80/tcp", "tcp80", "-1", "icmp"):
            put(page, "port", port)
            assert page.text("#port-problem").startswith("Not a port"), port
            assert page.eval("document.getElementById('port').ariaInvalid") == "true"
            assert page.text(COUNT) == "10 connections"


def test_a_click_on_a_cell_says_why(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path) as page:
        # Rows and columns are admin, db, web, outside; the cell that is an element is the first.
        x, y, width, height = page.eval(
            "(() => { const b = document.querySelector('[role=gridcell]').getBoundingClientRect();"
            " return [b.x, b.y, b.width, b.height]; })()"
        )
        page.click(x + 1.5 * width, y + 2.5 * height)
        panel = page.text("#panel").split("\n")
        assert panel[0] == "shop/web[Pod] → shop/db[Pod]"
        assert "TCP 5432" in panel
        assert "Open: no policy isolates it." in panel
        assert "Admitted from shop/web[Pod]: TCP 5432." in panel
        place = f"{tmp_path}/all.json:1:"
        assert [line for line in panel if line.startswith("shop/db ingress[0]")]
        assert len([line for line in panel if line.startswith(place)]) == 2  # the rule, the policy
        page.click(x + 1.5 * width, y + 0.5 * height)
        panel = page.text("#panel").split("\n")
        assert panel[0] == "ops/admin[Pod] → shop/db[Pod]"
        assert "no connection" in panel
        assert "Denied: isolated, and no rule admits anything from ops/admin[Pod]." in panel
        assert len([line for line in panel if line.startswith(place)]) == 1
        page.click(x + 0.5 * width, y + 0.5 * height)
        assert "A pod always reaches itself: no policy judges that." in page.text("#panel")


def test_ordered_tiers_are_told_in_order(browser: Browser, tmp_path: Path) -> None:
    """The Admin rule decides about TCP 22 alone, the NetworkPolicy about the rest."""
    with opened(browser, tmp_path, html=report(table([*PODS, DB, GUARD], tmp_path), "t")) as page:
        x, y, width, height = page.eval(
            "(() => { const b = document.querySelector('[role=gridcell]').getBoundingClientRect();"
            " return [b.x, b.y, b.width, b.height]; })()"
        )
        page.click(x + 2.5 * width, y + 0.5 * height)  # from admin to web, which is not isolated
        panel = page.text("#panel").split("\n")
        assert panel[0] == "ops/admin[Pod] → shop/web[Pod]"
        assert "Admitted from ops/admin[Pod]: all except TCP 22." in panel
        assert "Decided in this order" in [line.capitalize() for line in panel]
        rule = 'ClusterNetworkPolicy/guard ingress[0] "no ssh" denies TCP 22'
        assert [line for line in panel if line.startswith(rule)]
        page.click(x + 1.5 * width, y + 0.5 * height)  # from admin to db, which is
        assert "Denied: what is asked first denies everything from ops/admin[Pod]." in page.text(
            "#panel"
        )


def test_the_keyboard_does_all_of_it(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path) as page:
        for _ in range(20):
            page.press("Tab")
            if page.eval("document.activeElement.getAttribute('role')") == "gridcell":
                break
        assert page.eval(FOCUS) == "ops/admin[Pod] to ops/admin[Pod]: itself, always"
        page.press("ArrowDown", "ArrowDown", "ArrowRight")
        assert page.eval(FOCUS) == "shop/web[Pod] to shop/db[Pod]: TCP 5432"
        page.press("Enter")
        assert page.eval("document.activeElement.id") == "panel"
        assert page.text("#panel h2") == "shop/web[Pod] → shop/db[Pod]"
        page.press("Escape")
        assert page.eval("document.getElementById('panel').hidden")
        assert page.eval(FOCUS) == "shop/web[Pod] to shop/db[Pod]: TCP 5432"
        page.press("End")
        assert page.eval(FOCUS) == "shop/web[Pod] to 0.0.0.0/0: all"
        page.press("Home", modifiers=CONTROL)
        page.press("ArrowUp", "ArrowLeft")
        assert page.eval(FOCUS) == "ops/admin[Pod] to ops/admin[Pod]: itself, always"


def test_the_address_is_the_state(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, "#view=list&name=db&direction=to") as page:
        assert page.text(COUNT) == "1 connection"
        assert page.eval("document.getElementById('name').value") == "db"
        page.click_on(".line")
        assert page.eval("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))") == {
            "view": "list", "name": "db", "direction": "to",
            "from": "shop/web[Pod]", "to": "shop/db[Pod]",
        }  # fmt: skip
        move_to(page, "from=shop/db[Pod]&to=shop/web[Pod]")
        page.wait("document.querySelector('#panel h2').innerText.startsWith('shop/db')")
        assert page.text(COUNT) == "10 connections"
        page.click_on("button[type=reset]")
        assert page.eval("location.hash") == ""


def test_an_address_that_names_nobody_is_passed_over(browser: Browser, tmp_path: Path) -> None:
    fragment = "#view=nothing&namespace=none&direction=x&from=nobody&to=shop/db&node=nobody&none=2"
    with opened(browser, tmp_path, fragment) as page:
        assert page.text(COUNT) == "10 connections"
        assert page.eval("document.getElementById('panel').hidden")
        assert page.eval("document.getElementById('tab-matrix').ariaSelected") == "true"


def test_the_graph_leads_to_a_neighbourhood(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, "#view=graph") as page:
        labels = "[...document.querySelectorAll('.dot')].map((dot) => dot.ariaLabel)"
        assert page.eval(labels) == [
            "ops/admin[Pod]: reaches 2, reached by 3",
            "shop/db[Pod]: reaches 3, reached by 1",
            "shop/web[Pod]: reaches 3, reached by 3",
            "0.0.0.0/0: reaches 2, reached by 3",
        ]
        page.eval("document.querySelector('.dot').focus()")
        page.press("ArrowRight", "Enter")
        assert page.eval("document.querySelector('.centre').innerText") == "shop/db[Pod]"
        nodes = "[...document.querySelectorAll('{} .node')].map((n) => n.innerText)"
        assert page.eval(nodes.format(".sources")) == ["shop/web[Pod]\nTCP 5432"]
        assert page.eval(nodes.format(".destinations")) == [
            "ops/admin[Pod]\nall", "shop/web[Pod]\nall", "0.0.0.0/0\nall",
        ]  # fmt: skip
        page.click_on(".sources .node")
        assert page.text("#panel h2") == "shop/web[Pod] → shop/db[Pod]"
        page.press("Escape")
        assert page.eval("document.activeElement.innerText") == "shop/web[Pod]\nTCP 5432"


def test_a_narrow_screen_has_a_list(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, size=(360, 740)) as page:
        assert not page.eval("document.getElementById('matrix').checkVisibility()")
        assert not page.eval("document.getElementById('tab-matrix').checkVisibility()")
        assert page.eval("document.querySelectorAll('.line').length") == 10
        page.click_on("[data-pair='2,1']")
        assert page.text("#panel h2") == "shop/web[Pod] → shop/db[Pod]"
        sideways = "document.documentElement.scrollWidth > innerWidth"
        assert not page.eval(sideways)
        page.press("Escape")
        assert page.eval("document.activeElement.dataset.pair") == "2,1"
        for fragment in ("view=graph", "view=graph&node=shop/db[Pod]"):
            page.eval(f"void (location.hash = '{fragment}')")
            page.wait("document.querySelector('.centre, .circle')")
            assert not page.eval(sideways)
        page.resize(1280, 800)
        page.eval("void (location.hash = '')")
        page.wait("document.getElementById('matrix').checkVisibility()")


def test_a_comparison_shows_what_changed(browser: Browser, tmp_path: Path) -> None:
    other = policy("shop/web", podSelector={"matchLabels": {"name": "web"}}, ingress=[])
    sides = ([*PODS, DB], [*PODS, other])
    difference = Difference(*(netpolc.compile(netpolc.load_objects(own)) for own in sides))
    with opened(browser, tmp_path, html=comparison(difference, "change")) as page:
        assert page.text(COUNT) == "6 changes"  # nobody reaches web any more, all reach all of db
        page.click_on("#tab-list")
        lines = "[...document.querySelectorAll('.line')].map((line) => line.innerText.split('\\n'))"
        found = {(status, text, ports) for status, text, ports in page.eval(lines)}
        assert found == {
            ("added", "→ shop/db[Pod]", "none → all"),
            ("changed", "→ shop/db[Pod]", "TCP 5432 → all"),
            ("removed", "→ shop/web[Pod]", "all → none"),
        }
        page.click_on("[data-pair='2,1']")
        panel = page.text("#panel").split("\n")
        assert "changed" in panel
        before, after = panel[panel.index("Before") :], panel[panel.index("After") :]
        assert "TCP 5432" in before
        assert "all" in after
        assert "Admitted from shop/web[Pod]: TCP 5432." not in after
        page.click_on("#changed")
        assert page.text(COUNT) == "12 connections"  # 10 before, and two that were added


def test_300_workloads_open_and_react(browser: Browser, tmp_path: Path) -> None:
    html = report(table(ring(300), tmp_path), "ring")
    with opened(browser, tmp_path, html=html) as page:
        assert page.text(COUNT) == "600 connections"
        assert page.eval("document.getElementsByTagName('*').length") < 500
        page.eval("document.querySelector('[role=gridcell]').focus()")
        page.press("End", modifiers=CONTROL)
        assert page.eval(FOCUS) == "0.0.0.0/0 to 0.0.0.0/0: not judged here"
        box = "document.querySelector('[role=gridcell]').getBoundingClientRect()"
        grid = "document.querySelector('.grid').getBoundingClientRect()"
        assert page.eval(f"{box}.bottom <= {grid}.bottom && {box}.right <= {grid}.right")
        put(page, "name", "p123")
        assert page.text(COUNT) == "3 connections"  # from p122, to p124, to the outside
        put(page, "name", "")
        page.click_on("#tab-graph")
        assert page.eval("document.querySelectorAll('.dot.group').length") == 11
        page.click_on(".dot")
        assert page.eval("document.querySelectorAll('.dot.party').length") == 30
        page.click_on("#tab-list")
        put(page, "namespace", "")
        assert page.eval("document.querySelectorAll('.line').length") == 300
        page.click_on("#list .more")
        page.wait("document.querySelectorAll('.line').length === 600")


def test_cells_are_as_wide_as_their_words(browser: Browser, tmp_path: Path) -> None:
    """A change that says more than a column's share of the window is not cut."""
    ports = [{"port": number} for number in (80, 443, 8080, 8443, 9090)]
    rule = {"from": [{"podSelector": {}}], "ports": ports}
    old, new = (
        netpolc.compile(netpolc.load_objects([*PODS, policy("shop/db", **of_db, ingress=ingress)]))
        for of_db in ({"podSelector": {"matchLabels": {"name": "db"}}},)
        for ingress in ([{**rule, "ports": ports[:3]}], [rule])
    )
    change = comparison(Difference(old, new), "before → after")
    with opened(browser, tmp_path, html=change) as page:
        assert page.text("h1") == "What a change opens and closes"
        width, words = page.eval(
            "(() => {"
            "const cell = document.querySelector('[role=gridcell]');"
            "const pen = document.createElement('canvas').getContext('2d');"
            'pen.font = \'12px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif\';'
            "const text = cell.getAttribute('aria-label').split(': ').slice(1).join(': ');"
            "return [parseFloat(cell.style.width), pen.measureText('~ ' + text).width];"
            "})()"
        )
        assert words > 130
        assert width >= words
