"""The page around the report: what it runs and asks for, on paper, in colour, by name.

In: clusters small enough to count by hand. Out: texts of others stay text, nothing but its own
scripts runs; contrast and names that WCAG asks for.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netpolc.analysis.report import report
from tests.browser.devtools import Browser
from tests.browser.pages import DB, PODS, opened, ring, table

pytestmark = pytest.mark.browser


def test_names_are_only_ever_text(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)><" / "script><script>alert(2)<" / "script>"
    folder.mkdir(parents=True)
    html = report(table([*PODS, DB], folder), "<img src=x onerror=alert(3)>")
    fragment = "#from=ops/admin%5BPod%5D&to=shop/db%5BPod%5D&name=%3Cimg%20src=x%3E"
    with opened(browser, tmp_path, fragment, html=html) as page:
        assert str(folder) in page.text("#panel")
        assert page.text(".of") == "<img src=x onerror=alert(3)>"
        assert page.eval("document.images.length") == 0
        assert page.eval("document.scripts.length") == 2


def test_what_is_not_the_pages_own_does_not_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report(table([*PODS, DB], tmp_path), "title"))
    with browser.page(path) as page:
        page.eval("""(() => {
          const script = document.createElement("script");
          script.textContent = "globalThis.ran = true";
          const image = document.createElement("img");
          image.src = "http://127.0.0.1:9/";
          document.body.append(script, image);
        })()""")
        assert page.eval("typeof ran") == "undefined"
        refused = [found["entry"]["text"] for found in page.complaints]
        assert len(refused) == 2
        assert all("Content Security Policy" in text for text in refused)


def test_paper_gets_the_whole_list(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, html=report(table(ring(200), tmp_path), "ring")) as page:
        page.call("Emulation.setEmulatedMedia", media="print")
        page.eval("dispatchEvent(new Event('beforeprint'))")
        assert page.eval("document.querySelectorAll('.line').length") == 400
        assert page.eval("document.getElementById('list').checkVisibility()")
        assert not page.eval("document.getElementById('matrix').checkVisibility()")
        page.eval("dispatchEvent(new Event('afterprint'))")
        page.call("Emulation.setEmulatedMedia", media="screen")
        assert page.eval("document.getElementById('matrix').checkVisibility()")


CONTRAST = """(() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue('--' + name).trim();
    const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return PAIRS.map(([one, other]) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return [one, other, (high + 0.05) / (low + 0.05)];
  });
})()"""
TEXTS = [
    *(("ink", on) for on in ("page", "surface", "band", "none", "denied", "admitted", "open")),
    *(("muted", on) for on in ("page", "surface", "band", "denied", "admitted")),
    *((f"{mark}-ink", mark) for mark in ("all", "some", "added", "removed", "changed")),
    *((f"{mark}-text", "surface") for mark in ("added", "removed", "changed")),
]
MARKS = [(mark, "none") for mark in ("all", "some", "added", "removed", "changed", "focus")]


@pytest.mark.parametrize("dark", [False, True])
def test_contrast_is_enough_to_read(browser: Browser, tmp_path: Path, dark: bool) -> None:
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for marks and the focus (1.4.11)."""
    with opened(browser, tmp_path, dark=dark) as page:
        for pairs, least in ((TEXTS, 4.5), (MARKS, 3.0)):
            for one, other, found in page.eval(CONTRAST.replace("PAIRS", json.dumps(pairs))):
                assert found >= least, (one, other, found)


@pytest.mark.parametrize("view", ["matrix", "graph", "list"])
def test_everything_one_can_use_has_a_name(browser: Browser, tmp_path: Path, view: str) -> None:
    fragment = f"#view={view}&from=shop/web%5BPod%5D&to=shop/db%5BPod%5D"
    with opened(browser, tmp_path, fragment) as page:
        nodes = page.call("Accessibility.getFullAXTree")["nodes"]
        used = [n for n in nodes if not n["ignored"] and n.get("role", {}).get("value") in USABLE]
        assert len(used) >= 12
        for found in used:
            assert found.get("name", {}).get("value"), found


USABLE = {
    "button", "checkbox", "combobox", "grid", "gridcell", "searchbox", "tab", "tablist", "tabpanel",
    "textbox", "complementary", "search",
}  # fmt: skip
