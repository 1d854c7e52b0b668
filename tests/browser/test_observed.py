"""The page of an audit in headless Chromium: traffic that was seen, over the matrix."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.devtools import Browser
from tests.browser.pages import COUNT, FOCUS, move_to, opened, put
from tests.cli.invocation import invoke
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.browser
EXAMPLE = ROOT / "examples" / "three-tier"
HEADER = "src,dst,protocol,port,verdict,direction,is_reply"
LEAK = "10.244.1.61,10.244.1.31,tcp,5432,forwarded,ingress,false"
NEEDED = "10.244.1.21,10.244.1.31,tcp,5432,forwarded,ingress,false"
FROM_OUTSIDE = "203.0.113.7,10.244.1.11,tcp,80,forwarded,ingress,false"
PAIR = "#from=other/client%5BPod%5D&to=production/database-1%5BPod%5D"
DATABASE = "production/database-1[Pod]"


def page_of(folder: Path, *arguments: str) -> str:
    log, out = folder / "log.csv", folder / "audit.html"
    log.write_text("".join(f"{row}\n" for row in (HEADER, LEAK, NEEDED, NEEDED, FROM_OUTSIDE)))
    outcome = invoke("audit", str(log), *arguments, "-o", "html", "--file", str(out))
    assert outcome.code == 1
    return out.read_text()


def test_traffic_stands_over_the_matrix(browser: Browser, tmp_path: Path) -> None:
    html = page_of(tmp_path, "--policies", str(EXAMPLE))
    with opened(browser, tmp_path, html=html) as page:
        assert page.text("h1") == "Who can reach whom, and who did"
        assert "4 records: 3 allowed, 1 denied" in page.text("#observed")
        assert "traffic to look at" in page.text("#legend")
        put(page, "seen", "alarm")
        assert page.text(COUNT) == "0 connections", "the policies deny what was seen"
        page.click_on("#tab-list")
        (line,) = page.eval("[...document.querySelectorAll('#list .line')].map((l) => l.innerText)")
        assert " ".join(line.split()) == (
            "→ production/database-1[Pod] 1 record, denied, yet forwarded none"
        )
        put(page, "seen", "seen")
        assert page.text(COUNT) == "2 connections"
        assert page.eval("document.querySelectorAll('#list .line').length") == 3
        assert "2 records" in page.text("#list")
        put(page, "seen", "unseen")
        assert "record" not in page.text("#list")


def test_why_says_what_was_seen(browser: Browser, tmp_path: Path) -> None:
    html = page_of(tmp_path, "--policies", str(EXAMPLE))
    with opened(browser, tmp_path, PAIR, html=html) as page:
        shown = " ".join(page.text("#panel").split())
        assert "Observed TCP/5432 1 × forwarded, policies: deny denied, yet forwarded" in shown
        assert "Denied: isolated, and no rule admits anything" in shown
        move_to(page, PAIR.replace("other/client", "production/frontend-1"))
        assert "Nothing was seen between them." in page.text("#panel")


def test_screen_readers_hear_of_traffic(browser: Browser, tmp_path: Path) -> None:
    html = page_of(tmp_path, "--policies", str(EXAMPLE))
    with opened(browser, tmp_path, PAIR, html=html) as page:
        page.press("Escape")
        assert page.eval(FOCUS) == (
            f"other/client[Pod] to {DATABASE}: none; 1 record, denied, yet forwarded"
        )


def test_a_change_over_traffic(browser: Browser, tmp_path: Path) -> None:
    """examples/proposed.yaml misspells a label: the backends may no longer reach the database."""
    common = [f"--with={EXAMPLE / name}.yaml" for name in ("pods", "namespaces")]
    old, new = str(EXAMPLE / "policies.yaml"), str(ROOT / "examples" / "proposed.yaml")
    html = page_of(tmp_path, "--policies", old, "--against", new, *common)
    with opened(browser, tmp_path, html=html) as page:
        assert page.text("h1") == "What a change opens and closes, and what was seen"
        page.click_on("#tab-list")
        put(page, "seen", "alarm")
        lines = " ".join(page.text("#list").split())
        assert "removed" in lines
        assert "2 records, cut" in lines
        assert "forwarded" in lines, "what was denied before is seen, too"
