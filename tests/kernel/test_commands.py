"""apply, status and delete against a real kernel, as a user runs them, each in a namespace."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from netpolc.backends.nft.netlink import entities
from netpolc.backends.nft.netlink.attributes import packed
from netpolc.backends.nft.netlink.wire import Message, Wire
from netpolc.backends.nft.rollout import kernel
from netpolc.backends.nft.rollout.loader import Via
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
THREE_TIER = str(ROOT / "examples" / "three-tier")
DENY_ALL = str(ROOT / "examples" / "recipe-deny-all")
FOREIGN = 'table inet other {\n\tchain forward {\n\t\tcounter comment "mine"\n\t}\n}\n'


def netpolc(router: Router, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command inside the namespace."""
    command = [sys.executable, "-m", "netpolc", *arguments]
    return router.call(lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT))


def test_a_table_from_apply_to_delete(router: Router) -> None:
    router.load(FOREIGN)
    assert netpolc(router, "status").returncode == 1

    applied = netpolc(router, "apply", THREE_TIER, "--node", "node-a")
    assert (applied.returncode, applied.stderr) == (0, "")
    digest = applied.stdout.split()[-1]
    assert digest.startswith("sha256:")

    status = netpolc(router, "status", THREE_TIER, "--node", "node-a")
    assert status.returncode == 0
    assert digest in status.stdout
    assert "snapshot  matches" in status.stdout
    assert time.strftime("%Y-%m-%dT") in status.stdout
    assert "production/database-policy" in status.stdout

    other = netpolc(router, "status", DENY_ALL, "--all-pods")
    assert other.returncode == 1
    assert "differs" in other.stdout

    deleted = netpolc(router, "delete")
    assert (deleted.returncode, deleted.stdout) == (0, "deleted table inet netpolc\n")
    assert netpolc(router, "delete").stdout == "table inet netpolc is not loaded\n"
    assert 'comment "mine"' in router.ruleset()
    assert "table inet netpolc" not in router.ruleset()


def test_status_compares_with_the_options_that_were_used(router: Router) -> None:
    options = ("--all-pods", "--hook", "postrouting", "--log=7/minute", "--priority", "90")
    assert netpolc(router, "apply", THREE_TIER, *options).returncode == 0
    status = netpolc(router, "status", THREE_TIER, "--all-pods", "-o", "json")
    found = json.loads(status.stdout)
    assert found["matches"] is True
    assert found["loaded"]["options"] == "hook=postrouting priority=90 deny=drop log=7/minute"
    assert 'log prefix "netpolc egress e_' in router.ruleset()
    assert "limit rate 7/minute" in router.ruleset()


def test_two_tables_live_side_by_side(router: Router) -> None:
    assert netpolc(router, "apply", THREE_TIER, "--all-pods").returncode == 0
    assert (
        netpolc(router, "apply", DENY_ALL, "--all-pods", "--table", "netpolc_lab").returncode == 0
    )
    assert netpolc(router, "delete", "--table", "netpolc_lab").returncode == 0
    assert netpolc(router, "status", THREE_TIER, "--all-pods").returncode == 0


def test_a_table_that_is_not_ours_is_neither_read_nor_deleted(router: Router) -> None:
    router.load("table inet netpolc {\n\tchain mine {\n\t}\n}\n")
    for command in (("delete",), ("status",)):
        refused = netpolc(router, *command)
        assert refused.returncode == 3
        assert "was not made by netpolc" in refused.stderr
    assert "chain mine" in router.ruleset()


def test_a_dry_run_loads_nothing(router: Router) -> None:
    checked = netpolc(router, "apply", THREE_TIER, "--all-pods", "--dry-run")
    assert checked.returncode == 0
    assert "would load" in checked.stdout
    assert router.ruleset() == ""


def test_the_default_node_is_this_host(router: Router, tmp_path: Path) -> None:
    refused = netpolc(router, "apply", THREE_TIER)
    assert refused.returncode == 2
    assert "is no node of the snapshot; say --node NAME, or --all-pods" in refused.stderr
    assert router.ruleset() == ""

    host = router.run("hostname").strip()
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": host}}
    (tmp_path / "node.json").write_text(json.dumps(node))
    applied = netpolc(router, "apply", THREE_TIER, str(tmp_path))
    assert applied.returncode == 0
    assert f"for node {host}" in applied.stdout


def test_a_refused_snapshot_leaves_the_table_alone(router: Router, tmp_path: Path) -> None:
    assert netpolc(router, "apply", THREE_TIER, "--all-pods").returncode == 0
    before = router.ruleset()
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: x, namespace: production}\nspec:\n  ingres: []\n"
    )
    refused = netpolc(router, "apply", THREE_TIER, str(bad), "--all-pods")
    assert refused.returncode == 2
    assert f'{bad}:5:3: spec.ingres: unknown field "spec.ingres"' in refused.stderr
    assert router.ruleset() == before


def test_a_failing_load_changes_nothing(router: Router, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last command of the transaction fails: the first ones must not have happened."""
    import netpolc as api

    good = api.compile(api.load([THREE_TIER])).ruleset()
    router.call(lambda: kernel.Kernel().load(good))
    before = router.ruleset()
    bad = api.compile(api.load([DENY_ALL])).ruleset()
    stray = Message(
        entities.NEW_RULE, 0x400, packed(1, b"netpolc\0") + packed(2, b"x\0"), "a stray"
    )
    commit = Wire.commit
    monkeypatch.setattr(Wire, "commit", lambda wire, own: commit(wire, [*own, stray]))
    with pytest.raises(api.SystemRefusal, match="the kernel refused: a stray: No such file"):
        router.call(lambda: kernel.Kernel().load(bad))
    assert router.ruleset() == before
    text = "add rule inet netpolc no_such_chain accept\n"
    monkeypatch.setattr(type(bad), "text", lambda _: text)
    with pytest.raises(api.SystemRefusal, match="the kernel refused:\n"):
        router.call(lambda: kernel.Kernel(via=Via.NFT).load(bad))
    assert router.ruleset() == before


def test_no_permission_is_said_plainly(router: Router) -> None:
    command = [sys.executable, "-m", "netpolc"]
    for arguments in (["apply", THREE_TIER, "--all-pods"], ["status"], ["delete"]):

        def run(arguments: list[str] = arguments) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["setpriv", "--reuid=65534", "--clear-groups", *command, *arguments],
                capture_output=True,
                text=True,
                cwd=ROOT,
            )

        refused = router.call(run)
        assert refused.returncode == 3
        assert "root" in refused.stderr
        assert "Traceback" not in refused.stderr
    assert router.ruleset() == ""


def test_concurrent_applies_serialise(router: Router) -> None:
    """Whichever comes last wins whole; none fails."""
    expected = set()
    for snapshot in (THREE_TIER, DENY_ALL):
        assert netpolc(router, "apply", snapshot, "--all-pods").returncode == 0
        expected.add(_without_time(router.ruleset()))
    commands = [
        [sys.executable, "-m", "netpolc", "apply", snapshot, "--all-pods"]
        for snapshot in (THREE_TIER, DENY_ALL) * 4
    ]
    running = router.call(
        lambda: [subprocess.Popen(c, cwd=ROOT, stdout=subprocess.DEVNULL) for c in commands]
    )
    assert [process.wait(60) for process in running] == [0] * len(commands)
    assert _without_time(router.ruleset()) in expected


def _without_time(listing: str) -> frozenset[str]:
    """The objects, whose order tells by which way they came; without when the table was loaded, the
    seal, which covers that, and whose the addresses are.
    """
    notes = r"(counter meta_seal|set meta_pods[46]) \{.*?\n\t\}"
    listing = re.sub(notes, "", listing, flags=re.DOTALL)
    kept = "\n".join(line for line in listing.splitlines() if "Z" not in line)
    _, _, objects = kept.partition('comment "netpolc"\n')
    return frozenset(block.strip() for block in objects.split("\n\t}\n"))
