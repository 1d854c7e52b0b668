"""The same expectations in a test-suite: the fixture of the plugin, `Policies`, and their promise
that no flow an expectation is about is left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.analysis.expectations import ExpectationRunner, Policies
from netpolc.backends.matcher import Matcher
from tests.expectations.test_command import SHOP, expectations, flow
from tests.helpers.strategies import Flow, patient, snapshots_with_flows

Manifest = dict[str, Any]
SUITE = """
import pytest


def test_passes(netpolc_policies):
    shop = netpolc_policies("shop.json", namespace="shop")
    shop.allows("web-1", "db-*", "TCP/5432")
    shop.denies("web-1", "db-*", 22)
    shop.reachable_only_from("db-*", ["web-1", "192.0.2.0/24"])
    shop.reaches_only("db-0", ("db-1", "web-1", "0.0.0.0/0", "::/0"))
    shop.meet_expectations()
    assert netpolc_policies("shop.json", namespace="shop") is shop


def test_fails(netpolc_policies):
    netpolc_policies("shop.json", namespace="shop").denies("web-1", "db-0", "TCP/5432")


def test_is_given_a_list(netpolc_policies):
    netpolc_policies(["shop.json"])


@pytest.mark.parametrize(("end", "port"), [("web-1", "http"), ("nobody", 80)])
def test_has_no_such_end_or_port(netpolc_policies, end, port):
    netpolc_policies("shop.json", namespace="shop").denies(end, "db-0", port)
"""


def test_the_fixture_in_a_suite_of_its_own(tmp_path: Path) -> None:
    items = [*SHOP, expectations(flow("web-1", "db-0", 5432, "allow"))]
    (tmp_path / "shop.json").write_text(json.dumps({"kind": "List", "items": items}))
    (tmp_path / "test_shop.py").write_text(SUITE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 failed, 1 passed" in done.stdout, done.stdout + done.stderr
    assert "UsageError: paths[0]: list is no path" in done.stdout
    lines = [line for line in done.stdout.splitlines() if re.match(r"\S+\.py:\d+: ", line)]
    assert {line.partition(":")[0] for line in lines} == {"test_shop.py"}, done.stdout
    assert "allowed: shop/web-1 -> shop/db-0 TCP/5432" in done.stdout
    assert "production" not in done.stdout
    assert "shop/db ingress[0] at shop.json:1:" in done.stdout


@pytest.fixture
def shop(tmp_path: Path) -> Policies:
    path = tmp_path / "shop.json"
    path.write_text(json.dumps({"kind": "List", "items": SHOP}))
    return Policies(path, namespace="shop")


def test_each_assertion_can_fail(shop: Policies) -> None:
    with pytest.raises(AssertionError, match=r"denied: shop/web-1 -> shop/db-0 TCP/22"):
        shop.allows("web-1", "db-0", 22)
    with pytest.raises(AssertionError, match=r"allowed: shop/web-1 -> shop/db-0"):
        shop.reachable_only_from("db-0", "192.0.2.0/24")
    with pytest.raises(AssertionError, match=r"allowed: shop/web-1 -> 0\.0\.0\.0"):
        shop.reaches_only("web-1", "db-*")
    with pytest.raises(AssertionError, match="no Expectations object"):
        shop.meet_expectations()
    with pytest.raises(netpolc.InputError, match="must be like TCP/80"):
        shop.allows("web-1", "db-0", "http")


@patient(40)
@given(snapshots_with_flows(), st.sampled_from(["allow", "deny"]))
def test_no_flow_is_left_out(case: tuple[list[Manifest], list[Flow]], demand: str) -> None:
    """What one flow between pods breaks, the expectation about all of them breaks too."""
    objects, flows = case
    for name, address in (("pods", "*/*"), ("world", "0.0.0.0/0")):
        entry = {"from": address, "to": "*/*", "port": "all", "expect": demand}
        snapshot = netpolc.load_objects([*objects, expectations(entry, name=name)])
        program = netpolc.compile(snapshot)
        try:
            result = ExpectationRunner(snapshot).result(snapshot.expectations[0])
        except netpolc.UsageError:
            continue  # a single pod, or none with an address of the family
        matcher = Matcher(program)
        nodes = {a for node in program.cluster.nodes.values() for a in node.addresses}
        for row in flows:
            asked = netpolc.Flow(*row)
            ends = [program.pods_by_address.get(a) for a in (asked.source, asked.destination)]
            meant = ends[0] is not None if name == "pods" else ends[0] is None and ":" not in row[0]
            if not meant or ends[1] is None or ends[0] is ends[1] or asked.source in nodes:
                continue
            if matcher.verdict(*row) is not (demand == "allow"):
                assert not result.passed, row
