"""`apply --watch` brings back a table that somebody else flushes, deletes or changes.

In: a watch in a namespace, and what `nft` does behind its back. Out: the table that is in force
afterwards, what is said, how many transactions it took.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.netfilter.monitor import Monitor
from netpolc.cli import options as reading
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import Emptied
from tests.helpers import flushes
from tests.helpers.lab import PodLab, Router
from tests.helpers.scenarios import ROOT
from tests.kernel.applying import eventually
from tests.kernel.test_commands import THREE_TIER, netpolc

pytestmark = pytest.mark.kernel
cli_apply = import_module("netpolc.cli.enforce.apply")
Watching = subprocess.Popen[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copytree(THREE_TIER, tmp_path / "manifests")
    return tmp_path / "manifests"


@pytest.fixture
def watching(router: Router, folder: Path) -> Iterator[Watching]:
    command = [sys.executable, "-m", "netpolc", "apply", "--watch", str(folder)]
    process = router.call(
        lambda: subprocess.Popen(
            [*command, "--node", "node-a"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("loaded table inet netpolc")
    yield process
    process.terminate()
    process.communicate(timeout=120)


def said(watching: Watching) -> str:
    assert watching.stderr is not None
    return watching.stderr.readline()


def content(router: Router) -> str:
    """The table without what counters count and when it was loaded."""
    text = re.sub(r"packets \d+ bytes \d+", "", router.ruleset())
    return re.sub(r'comment "[-0-9T:]{19}Z"', "", text)


@pytest.mark.parametrize(
    "change",
    [
        "flush ruleset",
        "delete table inet netpolc",
        "flush chain inet netpolc forward",
        "insert rule inet netpolc ingress accept",
        "add element inet netpolc s4_0e63714984ceaf5e { 10.9.9.9 }",
        "delete element inet netpolc in4 { 10.244.1.21 }",
        "add table inet netpolc { flags dormant ; }",
    ],
)
def test_whatever_becomes_of_the_table_it_is_back(
    router: Router, watching: Watching, change: str
) -> None:
    before = content(router)
    router.run("nft", change)
    deleted = "deleted" if "flush ruleset" in change or "delete table" in change else "changed"
    assert re.fullmatch(
        rf"restored table inet netpolc: nft \(process \d+\) {deleted} it\n", said(watching)
    )
    assert content(router) == before


def test_neither_its_own_transactions_nor_those_of_other_tables_make_it_send_any(
    router: Router, watching: Watching, folder: Path
) -> None:
    generation = router.call(Generation)
    policies = folder / "policies.yaml"
    policies.write_text(policies.read_text().replace("port: 8080", "port: 8081"))
    assert watching.stdout is not None
    assert watching.stdout.readline().startswith("updated")
    router.load("add table inet other; add chain inet other c; add table ip netpolc")
    before = generation.read()
    time.sleep(2)
    assert generation.read() == before


def test_what_was_refused_does_not_end_the_protection(
    router: Router, watching: Watching, folder: Path
) -> None:
    before = content(router)
    (folder / "policies.yaml").write_text("kind: [")
    assert "policies.yaml" in said(watching)
    assert "1 error" in said(watching)
    router.run("nft", "flush", "ruleset")
    assert said(watching).startswith("restored table inet netpolc")
    assert content(router) == before


def test_a_table_that_was_found_is_kept_though_nothing_could_be_applied(
    router: Router, folder: Path
) -> None:
    """A service that is started again meets a broken snapshot, and then the ruleset is flushed."""
    assert netpolc(router, "apply", str(folder), "--node", "node-a").returncode == 0
    before = content(router)
    (folder / "policies.yaml").write_text("kind: [")
    command = [sys.executable, "-m", "netpolc", "apply", "--watch", str(folder)]
    with router.call(
        lambda: subprocess.Popen(
            [*command, "--node", "node-a"], stdout=-1, stderr=-1, text=True, cwd=ROOT
        )
    ) as watching:
        try:
            while "1 error" not in said(watching):
                pass
            router.run("nft", "flush", "ruleset")
            assert said(watching).startswith("restored table inet netpolc as it was found: nft (")
            assert content(router) == before
        finally:
            watching.terminate()


def test_a_connection_that_began_while_the_table_was_away_ends(tmp_path: Path) -> None:
    flushes.write(tmp_path, 0)
    command = [sys.executable, "-m", "netpolc", "apply", "--watch", str(tmp_path)]
    with PodLab({"web": ["10.64.0.20"], "client": ["10.64.0.30"]}) as lab:
        lab.serve("web", "TCP", 80)
        with lab.node.call(
            lambda: subprocess.Popen(
                [*command, "--node", "node-a"], stdout=-1, stderr=-1, text=True, cwd=ROOT
            )
        ) as watching:
            try:
                assert watching.stdout is not None
                assert watching.stdout.readline().startswith("loaded")
                assert not lab.connect("client", "10.64.0.20", "TCP", 80)
                watching.send_signal(signal.SIGSTOP)
                lab.node.run("nft", "delete", "table", "inet", "netpolc")
                with lab.connection("client", "10.64.0.20", "TCP", 80) as connection:
                    assert connection.echo(b"while it is away")
                    time.sleep(0.5)  # what is not acknowledged the server itself sends again
                    watching.send_signal(signal.SIGCONT)
                    assert said(watching).startswith("restored table inet netpolc")
                    assert not connection.echo(b"and afterwards")
            finally:
                watching.send_signal(signal.SIGCONT)
                watching.terminate()


def test_a_fight_is_bounded_and_said(router: Router, watching: Watching) -> None:
    lines = []
    for _ in range(12):
        router.run("nft", "flush", "ruleset")
        lines.append(said(watching))
    assert all(line.startswith("restored") for line in lines)
    assert "again and again, it is restored every 2 s" not in lines[0]
    assert "again and again, it is restored every 2 s" in lines[-1]


def test_the_monitor_hears_of_its_own_table_only_and_who_it_was(router: Router) -> None:
    monitor = router.call(lambda: Monitor("netpolc"))
    router.run("nft", "add table inet other; add table ip netpolc; add chain inet other netpolc")
    assert monitor.changes() == []
    router.run("nft", "add table inet netpolc; add chain inet netpolc c")
    router.run("nft", "flush ruleset")
    first, second = monitor.changes()
    assert (first.deleted, second.deleted) == (False, True)
    assert re.fullmatch(r"nft \(process \d+\)", first.process)
    monitor._subscription._stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for number in range(30):  # more than the socket holds: it is told that something was lost
        router.load(f"add table inet netpolc; add chain inet netpolc c{number}")
    assert any(change.process == "" for change in monitor.changes())
    monitor.close()


# Snapshots that lost what they isolate
# ----------------------------------------------------------------------------------------------


def manifests(folder: Path) -> tuple[str, str]:
    """A pod's and a policy's file."""
    pod = "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n---\n" + (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: shop}\n"
        "spec: {nodeName: n1, containers: [{name: c, image: x}]}\n"
        "status: {podIPs: [{ip: 192.0.2.5}], phase: Running}\n"
    )
    policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" + (
        "metadata: {name: deny, namespace: shop}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n"
    )
    folder.mkdir(exist_ok=True)
    (folder / "pods.yaml").write_text(pod)
    (folder / "policies.yaml").write_text(policy)
    return pod, policy


LOST = {
    "no pods": ("pods.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n"),
    "pods without addresses": ("pods.yaml", "  podIPs"),
    "pods elsewhere": ("pods.yaml", "nodeName"),
    "pods of the host": ("pods.yaml", "hostNetwork"),
    "no policies": ("policies.yaml", ""),
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("options", [(), ("--verify",), ("--confirm", "1s"), ("--dry-run",)])
def test_a_snapshot_that_isolates_nobody_replaces_no_table(
    router: Router, tmp_path: Path, lost: str, options: tuple[str, ...]
) -> None:
    pod, _ = manifests(tmp_path / "m")
    node = (str(tmp_path / "m"), "--node", "n1")
    assert netpolc(router, "apply", *node).returncode == 0
    before = router.ruleset()
    name, text = LOST[lost]
    text = {
        "pods without addresses": pod.replace("podIPs: [{ip: 192.0.2.5}], ", ""),
        "pods elsewhere": pod.replace("nodeName: n1", "nodeName: n2"),
        "pods of the host": pod.replace("nodeName: n1", "nodeName: n1, hostNetwork: true"),
    }.get(lost, text)
    (tmp_path / "m" / name).write_text(text)
    refused = netpolc(router, "apply", *node, *options)
    missing = "no NetworkPolicy" if name == "policies.yaml" else "no pod with an address on node n1"
    assert refused.returncode == 2
    assert (
        f"the snapshot has {missing}, and table inet netpolc isolates pods by shop/deny: it "
        in (refused.stderr)
    )
    assert router.ruleset() == before
    if not options:
        assert netpolc(router, "apply", *node, "--allow-empty").returncode == 0
        assert netpolc(router, "apply", *node).returncode == 0  # nobody is isolated any more


def test_an_empty_snapshot_is_loaded_where_nobody_is_isolated(
    router: Router, tmp_path: Path
) -> None:
    manifests(tmp_path / "m")
    (tmp_path / "m" / "policies.yaml").unlink()
    assert netpolc(router, "apply", str(tmp_path / "m"), "--all-pods").returncode == 0


def test_the_watch_keeps_the_table_and_tries_again(router: Router, tmp_path: Path) -> None:
    _, policy = manifests(tmp_path / "m")
    command = [sys.executable, "-m", "netpolc", "apply", "--watch", str(tmp_path / "m")]
    with router.call(
        lambda: subprocess.Popen(
            [*command, "--all-pods"], stdout=-1, stderr=-1, text=True, cwd=ROOT
        )
    ) as watching:
        try:
            assert watching.stdout is not None
            assert watching.stdout.readline().startswith("loaded")
            (tmp_path / "m" / "policies.yaml").write_text("")
            while "the snapshot has no NetworkPolicy" not in said(watching):
                pass
            assert "drop_i_" in router.ruleset()
            (tmp_path / "m" / "policies.yaml").write_text(policy)
            assert watching.stdout.readline().startswith("nothing to change")
            assert eventually(lambda: "drop_i_" in router.ruleset())
        finally:
            watching.terminate()


@pytest.mark.parametrize("found", [False, True], ids=["applied", "found"])
def test_a_flush_while_an_empty_snapshot_is_read_opens_nothing(
    router: Router, tmp_path: Path, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snapshots of large clusters are read for seconds, in which anybody may flush the ruleset."""
    folder = tmp_path / "m"
    manifests(folder)
    if found:
        assert netpolc(router, "apply", str(folder), "--all-pods").returncode == 0
        (folder / "policies.yaml").write_text("")
    read = reading.Reading.snapshot

    def snapshot(self: reading.Reading, paths: Sequence[str], **how: Any) -> Snapshot:
        done = read(self, paths, **how)
        if not done.policies:
            router.run("nft", "flush", "ruleset")
        return done

    def watched(_: object, apply_once: Callable[[], str], *__: object) -> None:
        apply_once()
        (folder / "policies.yaml").write_text("")
        apply_once()

    monkeypatch.setattr(reading.Reading, "snapshot", snapshot)
    monkeypatch.setattr("netpolc.cli.enforce.watch.keep_applied", watched)
    arguments = [str(folder), "--watch", "--all-pods"]
    with pytest.raises(Emptied, match="no NetworkPolicy"):
        router.call(lambda: cli_apply.apply.main(arguments, standalone_mode=False))
    assert "drop_i_" in router.ruleset()
