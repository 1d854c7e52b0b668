"""What the kernel counted, told by chain and by pod: `status --counters` and `top`.

In: packets whose fate is written by hand, through a table of which a policy is audited, and through
one in audit mode. Out: counters, in every form; rates between two readings.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel
from tests.helpers.lab import Flow, Injector
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import netpolc as command

pytestmark = pytest.mark.kernel
SNAPSHOT = str(ROOT / "tests" / "cases" / "audit-neither-denies-nor-opens" / "input.yaml")
A, B, C, OUTSIDE = "10.244.0.1", "10.244.0.2", "10.244.0.3", "203.0.113.7"
B6, C6 = "fd00:10:244::2", "fd00:10:244::3"
SENT: list[tuple[Flow, bool]] = [
    ((B, A, 6, 80), True),  # b may only reach c, but that is only tried
    ((B, A, 6, 81), False),  # and a denies
    ((C, A, 6, 80), False),
    ((A, B, 6, 80), True),  # b lets nobody in, but that is only tried
    ((B, B, 6, 80), True),  # itself
    ((B, C, 6, 80), False),
    ((B6, C6, 17, 53), False),
    ((OUTSIDE, B, 1, None), True),  # like the fourth
    ((C, OUTSIDE, 6, 443), True),  # nobody isolates c for egress
]
COUNTED = {
    ("x/a", "ingress", False): 2,
    ("x/b", "egress", True): 2,
    ("x/b", "ingress", True): 2,
    ("x/c", "ingress", False): 2,
}
POLICIES = {"x/a": ["x/a-enforced"], "x/b": ["x/b-tried"], "x/c": ["x/c-false"]}


def send(injector: Injector) -> list[bool]:
    return injector.judge([flow for flow, _ in SENT])


def load(injector: Injector, *, audit: bool) -> None:
    ruleset = netpolc.compile(netpolc.load([SNAPSHOT])).ruleset(
        options=netpolc.Options(audit=audit)
    )
    injector.flush()
    injector.router.call(lambda: Kernel().load(ruleset))


def counted(injector: Injector) -> dict[str, list[dict[str, object]]]:
    status = command(injector.router, "status", SNAPSHOT, "--counters", "-o", "json")
    assert (status.returncode, status.stderr) == (0, "")
    found: dict[str, Any] = json.loads(status.stdout)
    assert found.pop("invalid") == 0
    unknown = {own["pod"]: own["packets"] for own in found["pods"] if own["pod"] == "unknown"}
    assert unknown == {"unknown": 0}  # no bridge is here
    kept = "pods", "chains"
    pods, chains = ([own for own in found[key] if not _of_unknown(own)] for key in kept)
    return {"pods": pods, "chains": chains}


def _of_unknown(own: dict[str, object]) -> bool:
    return own.get("pod") == "unknown" or str(own.get("chain")).endswith("_unknown")


def test_an_audited_policy_is_counted_and_lets_pass(injector: Injector) -> None:
    load(injector, audit=False)
    assert send(injector) == [passes for _, passes in SENT]
    found = counted(injector)
    pods = {(own["pod"], own["direction"], own["audited"]): own for own in found["pods"]}
    assert {key: own["packets"] for key, own in pods.items()} == COUNTED
    assert all(own["policies"] == POLICIES[str(own["pod"])] for own in found["pods"])
    assert all(own["bytes"] != 0 for own in found["pods"])
    chains = {(*own["pods"], own["direction"]): own["packets"] for own in found["chains"]}  # type: ignore[misc]
    assert chains == {(pod, direction): n for (pod, direction, _), n in COUNTED.items()}


def test_in_audit_mode_everything_passes_and_counts(injector: Injector) -> None:
    load(injector, audit=True)
    assert send(injector) == [True] * len(SENT)
    found = {(own["pod"], own["direction"]): own for own in counted(injector)["pods"]}
    assert all(own["audited"] for own in found.values())
    packets = {key: own["packets"] for key, own in found.items()}
    assert packets == {(pod, direction): n for (pod, direction, _), n in COUNTED.items()}
    status = command(injector.router, "status", SNAPSHOT, "--all-pods")
    assert status.returncode == 0
    assert "audit=on" in status.stdout
    assert "snapshot  matches" in status.stdout
    verified = command(injector.router, "verify", SNAPSHOT, "--all-pods", "--audit")
    assert verified.returncode == 0, verified.stdout
    assert command(injector.router, "verify", SNAPSHOT, "--all-pods").returncode == 1


def test_prometheus_gets_a_whole_file(injector: Injector, tmp_path: Path) -> None:
    load(injector, audit=False)
    send(injector)
    target = tmp_path / "netpolc.prom"
    arguments = ("status", SNAPSHOT, "-o", "prometheus", "--file", str(target))
    assert command(injector.router, *arguments).returncode == 0
    lines = target.read_text().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    pattern = r'[a-z_]+\{[a-z]+="[^"\\]*"(,[a-z]+="[^"\\]*")*\} \d+'
    assert all(re.fullmatch(pattern, line) for line in samples)
    labels = 'table="netpolc",direction="ingress",namespace="x",pod="a"'
    assert f"netpolc_pod_denied_packets_total{{{labels}}} 2" in samples
    assert f"netpolc_pod_audited_packets_total{{{labels}}} 0" not in samples
    assert 'netpolc_loaded{table="netpolc"} 1' in samples
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    assert {line.partition("{")[0] for line in samples} <= typed
    assert list(tmp_path.iterdir()) == [target]

    injector.flush()
    assert command(injector.router, *arguments).returncode == 1
    assert 'netpolc_loaded{table="netpolc"} 0\n' in target.read_text()
    assert "netpolc_pod" not in target.read_text()


def test_without_a_snapshot_addresses_are_told(injector: Injector) -> None:
    load(injector, audit=False)
    send(injector)
    status = command(injector.router, "status", "--counters")
    assert status.returncode == 0
    assert re.search(rf"^{C6} +ingress +1 +\d+ +denied +x/c-false$", status.stdout, re.MULTILINE)
    assert "x/b-tried" in status.stdout
    assert "x/a-enforced" in status.stdout


def test_top_tells_how_fast(injector: Injector) -> None:
    load(injector, audit=False)
    send(injector)
    arguments = [sys.executable, "-m", "netpolc", "top", SNAPSHOT, "--interval", "1.5"]
    running = injector.router.call(
        lambda: subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    )
    with running:
        while running.poll() is None:
            send(injector)
        assert running.returncode == 0
        assert running.stdout is not None
        printed = running.stdout.read()
    header, *rows = printed.splitlines()
    assert header.split() == [
        "pod",
        "direction",
        "packets/s",
        "packets",
        "result",
        "isolated",
        "by",
    ]
    rows = [row for row in rows if not row.startswith("unknown ")]
    assert {(row.split()[0], row.split()[1]) for row in rows} == {key[:2] for key in COUNTED}
    assert all(float(row.split()[2]) > 0 for row in rows)

    injector.flush()
    missing = command(injector.router, "top", SNAPSHOT, "--once")
    assert (missing.returncode, missing.stderr) == (
        3,
        "netpolc: table inet netpolc is not loaded\n",
    )
