"""Addresses of a node that its Node object does not list: commands say what the kernel does.

In: a node with the gateway of a bridge and a node-local DNS on it, and a pod that is closed both
ways. Out: real connections, and what eval, explain and test say of the same flows on the node, on
another machine, and there with `--node-address`.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import netpolc
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.proof import Proof
from netpolc.cli import host
from netpolc.core.nets import parse_address
from tests.helpers.lab import Namespace, PodLab
from tests.helpers.manifests import node, pod, policy
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
GATEWAY, DNS, LISTED = "10.64.0.1", "169.254.20.10", "192.0.2.1"
CLOSED = policy("closed", podSelector={}, policyTypes=["Ingress", "Egress"])
OBJECTS = [node("node-a", LISTED), pod("default/client", "10.64.0.20"), CLOSED]
PROBE = ("--src", GATEWAY, "--dst", "default/client", "--port", "8080")
LOOKUP = ("--src", "default/client", "--dst", DNS, "--port", "53", "--protocol", "UDP")
EXPECTED = {
    "apiVersion": "netpolc.dev/v1",
    "kind": "Expectations",
    "metadata": {"name": "node", "namespace": "default"},
    "expectations": [{"from": GATEWAY, "to": "client", "port": "TCP/8080", "expect": "allow"}],
}


@pytest.fixture(scope="module")
def lab() -> Iterator[PodLab]:
    with PodLab({"client": ["10.64.0.20"]}, node=(LISTED, GATEWAY, DNS)) as made:
        made.serve("node", "UDP", 53)
        made.serve("client", "TCP", 8080)
        yield made


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(yaml.safe_dump_all([*OBJECTS, EXPECTED]))
    return path


def run(where: Namespace, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "netpolc", *map(str, arguments)]
    return where.call(
        lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    )


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_on_the_node_the_commands_say_what_the_kernel_does(
    lab: PodLab, cluster: Path, hook: str
) -> None:
    lab.node.flush()
    applied = run(lab.node, "apply", cluster, "--node", "node-a", "--hook", hook, "--verify")
    assert applied.returncode == 0, applied.stderr
    assert lab.node.call(_probe)
    assert lab.connect("client", DNS, "UDP", 53)
    for flow in (PROBE, LOOKUP):
        for command in ("eval", "explain"):
            said = run(lab.node, command, cluster, *flow)
            assert said.stdout.startswith("ALLOW"), said.stdout
            assert "is an address of node-a that its Node object does not list" in said.stderr
    assert run(lab.node, "eval", cluster, "--src", "192.0.2.9", *PROBE[2:]).returncode == 1
    tested = run(lab.node, "test", cluster)  # nothing is expected of addresses of nodes
    assert tested.returncode == 2
    assert "an address of no pod or node" in tested.stderr
    assert run(lab.node, "verify", cluster, "--node", "node-a").returncode == 0


def _probe() -> bool:
    with socket.socket() as opened:
        opened.settimeout(1)
        opened.bind((GATEWAY, 0))
        return opened.connect_ex(("10.64.0.20", 8080)) == 0


@pytest.mark.parametrize("flow", [PROBE, LOOKUP])
def test_elsewhere_an_option_names_them(cluster: Path, flow: tuple[str, ...]) -> None:
    address = GATEWAY if flow is PROBE else DNS
    with Namespace() as laptop:
        said = run(laptop, "eval", cluster, *flow)
        assert said.stdout.startswith("DENY")
        assert f"elsewhere say --node-address node-a={address}" in said.stderr
        told = run(laptop, "eval", cluster, *flow, "--node-address", f"node-a={address}")
        assert (told.stdout.partition(" ")[0], told.stderr) == ("ALLOW", "")
        far = run(laptop, "eval", cluster, "--src", "192.0.2.9", *PROBE[2:])
        assert (far.returncode, far.stderr) == (1, "")
        assert run(laptop, "test", cluster).returncode == 1
        for wrong in ("node-b=10.0.0.1", "node-a", "node-a=x"):
            assert run(laptop, "eval", cluster, *flow, "--node-address", wrong).returncode == 2


def test_a_host_is_the_node_that_has_its_address() -> None:
    made = netpolc.load_objects([node("a", LISTED), node("b", "192.0.2.2"), node("c")]).cluster
    gateway = parse_address(GATEWAY)
    assert host.node_of(made, frozenset({parse_address("192.0.2.2"), gateway})) == "b"
    assert host.node_of(made, frozenset({gateway})) is None
    both = frozenset(map(parse_address, (LISTED, "192.0.2.2")))
    assert host.node_of(made, both) is None


def test_the_address_of_a_pod_stays_the_pods() -> None:
    made = netpolc.load_objects(OBJECTS).cluster
    more = made.knowing("node-a", map(parse_address, (GATEWAY, "10.64.0.20")))
    assert more.nodes["node-a"].addresses == {parse_address(LISTED), parse_address(GATEWAY)}


def test_the_proof_asks_for_them_where_the_hook_sees_them() -> None:
    snapshot = netpolc.load_objects([node("node-a"), *OBJECTS[1:]])
    program = netpolc.compile(snapshot)
    text = program.ruleset("node-a", netpolc.Options(hook="postrouting")).text()
    lines = [line for line in text.splitlines(keepends=True) if "fib saddr type local" not in line]
    broken = parse_text.parse("".join(lines))
    assert not Proof(program, broken, "node-a").first()
    cluster = snapshot.cluster.knowing("node-a", [parse_address(GATEWAY)])
    knowing = netpolc.compile(netpolc.Snapshot(cluster, snapshot.policies))
    found = Proof(knowing, broken, "node-a").first()
    assert found
    assert all(own.flow.source == parse_address(GATEWAY) for own in found)
    assert not Proof(knowing, parse_text.parse(text), "node-a").first()
