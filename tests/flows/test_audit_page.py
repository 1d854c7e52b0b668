"""Whose rows traffic stands in on the page of an audit; how it looks is tests/browser's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.invocation import Outcome, invoke
from tests.helpers.manifests import namespace, node, pod, policy
from tests.helpers.scenarios import ROOT

HEADER = "src,src_pod,dst,dst_pod,protocol,port,verdict,is_reply"
OFFICE = {"from": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}
OBJECTS = [
    node("node-a", "192.168.0.10"),
    namespace("shop"),
    pod("shop/web", "10.0.0.3"),
    pod("shop/db", "10.0.0.2"),
    policy("shop/db", podSelector={"matchLabels": {"name": "db"}}, ingress=[OFFICE]),
]


def page(folder: Path, *rows: str, more: tuple[str, ...] = ()) -> tuple[Outcome, dict[str, Any]]:
    """The data of the page, as its script reads it."""
    manifests, log = folder / "all.json", folder / "log.csv"
    manifests.write_text(json.dumps({"kind": "List", "items": OBJECTS}))
    log.write_text("".join(f"{row}\n" for row in (HEADER, *rows)))
    outcome = invoke("audit", str(log), "--policies", str(manifests), "-o", "html", *more)
    found = re.search(r'id="document">(.*?)</script>', outcome.stdout, re.DOTALL)
    assert found is not None
    return outcome, json.loads(found[1])


def test_every_part_has_its_own_row(tmp_path: Path) -> None:
    """The office may, other addresses may not, a node is one of them; a pod known by its name."""
    outcome, found = page(
        tmp_path,
        "198.51.100.7,,10.0.0.2,,tcp,5432,forwarded,false",
        "198.51.100.8,,10.0.0.2,,tcp,5432,forwarded,false",
        "203.0.113.9,,10.0.0.2,,tcp,5432,dropped,false",
        "192.168.0.11,,10.0.0.2,,tcp,22,forwarded,false",
        ",shop/web,10.0.0.2,,tcp,5432,forwarded,false",
    )
    assert outcome.code == 1
    names = [party["name"] for party in found["parties"]]
    seen = {
        (names[own["source"]], names[own["destination"]], own["connection"], own["records"],
         own["finding"], own["is_alarm"])
        for own in found["observed"]["flows"]
    }  # fmt: skip
    others = "0.0.0.0/0 except 198.51.100.0/24"
    assert seen == {
        ("198.51.100.0/24", "shop/db[Pod]", "TCP/5432", 2, "", False),
        (others, "shop/db[Pod]", "TCP/5432", 1, "", False),
        (others, "shop/db[Pod]", "TCP/22", 1, "denied, yet forwarded", True),
        ("shop/web[Pod]", "shop/db[Pod]", "TCP/5432", 1, "denied, yet forwarded", True),
    }
    assert found["observed"]["about"][0] == "5 records: 2 allowed, 3 denied"


def test_who_is_not_listed_is_told(tmp_path: Path) -> None:
    """No pod has an address of IPv6, so no such range is listed."""
    _, found = page(
        tmp_path,
        "10.0.0.3,,203.0.113.9,,tcp,443,forwarded,false",
        "fd00::1,,fd00::2,,tcp,443,forwarded,false",
    )
    assert len(found["observed"]["flows"]) == 1
    assert "1 between ends that are no pods" in found["observed"]["about"][0]


def test_a_page_has_no_unused_rules(tmp_path: Path) -> None:
    path = str(ROOT / "examples" / "three-tier")
    outcome = invoke("audit", "-", "--policies", path, "--unused", "-o", "html")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "-o html shows traffic, of which --unused has none" in outcome.stderr


@pytest.mark.parametrize("form", ["html", "sarif", "parquet"])
def test_a_log_that_cannot_be_read_leaves_what_was_there(form: str, tmp_path: Path) -> None:
    log, file = tmp_path / "log.csv", tmp_path / "out"
    log.write_text(f"{HEADER}\n1,2\n")
    file.write_text("as it was")
    policies = str(ROOT / "examples" / "three-tier")
    outcome = invoke("audit", str(log), "--policies", policies, "-o", form, "--file", str(file))
    assert outcome.code == 2
    assert "log.csv:2: no record of this format" in outcome.stderr
    assert file.read_text() == "as it was"
    assert sorted(own.name for own in tmp_path.iterdir()) == ["log.csv", "out"]
