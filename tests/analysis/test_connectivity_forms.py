"""Tables and graphs as text, read back by others: the csv module, Graphviz."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess

import pytest

from netpolc.analysis.connectivity import formats
from netpolc.analysis.connectivity.graph import Edge, Vertex, dot

HOSTILE = ['a"b', "a,b", "line\nbreak", "back\\slash", "<b>|x|</b>", "\\N", "-> x", "\x1b[31m", ""]


def test_csv_is_that_of_rfc_4180() -> None:
    assert formats.csv(["a", "b"], [["1", 'say "x"'], ["2,3", ""]]) == (
        'a,b\r\n1,"say ""x"""\r\n"2,3",\r\n'
    )
    text = formats.csv(["a", "b"], [[own, "end"] for own in HOSTILE])
    rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    changed = {"line\nbreak": "line\\nbreak", "-> x": "'-> x", "\x1b[31m": "\\x1b[31m"}
    assert rows == [["a", "b"], *([changed.get(own, own), "end"] for own in HOSTILE)]


def test_markdown_shows_cells_as_they_are() -> None:
    assert formats.markdown(["a", "b"], [["x|y", "web[Pod]"], ["*b*\nc", "`_d_` <i>"]]) == (
        "| a | b |\n"
        "| --- | --- |\n"
        "| x\\|y | web\\[Pod\\] |\n"
        "| \\*b\\* c | \\`\\_d\\_\\` \\<i\\> |\n"
    )


def test_a_graph_has_a_box_a_namespace_and_an_arrow_a_pair() -> None:
    nodes = [Vertex("shop/web", "shop"), Vertex("0.0.0.0/0"), Vertex("shop/db", "shop")]
    edges = [
        Edge("shop/web", "shop/db", "TCP 80 (IPv4)"),
        Edge("shop/web", "shop/db", "TCP 81 (IPv6)"),
        Edge("shop/web", "shop/db", "gone", {"style": "dashed"}),
    ]
    lines = dot(nodes, edges).splitlines()
    assert lines[4:] == [
        '  subgraph "cluster_shop" {',
        '    label="shop";',
        '    "shop/web";',
        '    "shop/db";',
        "  }",
        '  "0.0.0.0/0";',
        '  "shop/web" -> "shop/db" [label="TCP 80 (IPv4)\\nTCP 81 (IPv6)"];',
        '  "shop/web" -> "shop/db" [label="gone", style="dashed"];',
        "}",
    ]


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
def test_hostile_names_stay_names() -> None:
    """Graphviz finds as many nodes and edges as there are, and no attribute more."""
    nodes = [Vertex(f"{number}{own}", own) for number, own in enumerate(HOSTILE)]
    edges = [Edge(nodes[0].name, own.name, own.name) for own in nodes]
    graph = dot(nodes, edges)
    done = subprocess.run(
        ["dot", "-Tplain"], input=graph, capture_output=True, text=True, check=True, timeout=60
    )
    kinds = [line.split(" ", 1)[0] for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert (kinds.count("node"), kinds.count("edge")) == (len(HOSTILE), len(HOSTILE))
    assert "\x1b" not in graph
