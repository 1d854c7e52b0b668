"""Link-local addresses, which every pod has and no snapshot: what is said beside the verdict.

In: a node with a pod that is closed for ingress and an open one; flows by addresses of no pod. Out:
the notes of `eval`, `explain` and `test` on standard error. What the kernel does of it:
`tests/kernel/test_bridges.py`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from netpolc.cli import main
from tests.helpers.manifests import namespace, node, pod, policy

CLOSED = policy("closed", podSelector={"matchLabels": {"name": "closed"}})
SNAPSHOT = [
    namespace("default"),
    node("node-a", "192.0.2.1"),
    node("node-b", "192.0.2.2"),
    pod("default/closed", "10.0.0.1", "fd00::1"),
    pod("default/open", "10.0.0.2", "fd00::2"),
    pod("default/far", "10.0.0.3", "fd00::3", on="node-b"),
    CLOSED,
]
DENIES = "carries this, the kernel denies it"
HERE = f"a bridge of node-a {DENIES}"
LOGGED = (
    "netpolc ingress i_unknown: IN=cni0 OUT=cni0 SRC=fe80::7 DST=fe80::8 LEN=60 HOPLIMIT=64 "
    "PROTO=TCP SPT=40000 DPT=80 "
)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    listed = {"apiVersion": "v1", "kind": "List", "items": SNAPSHOT}
    (tmp_path / "snapshot.json").write_text(json.dumps(listed))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ("source", "destination", "said"),
    [
        ("fd00::2", "fe80::7", f"fe80::7 is link-local: where pods have it and {HERE} (ingress: "),
        ("fe80::8", "fe80::7", f"8 and fe80::7 are link-local: where pods have them and {HERE}"),
        ("10.0.0.2", "169.254.0.7", f"a bridge (one of --pod-bridges) of node-a {DENIES}"),
        ("fe80::7", "fd00::2", ""),
        ("fd00::3", "fe80::7", ""),
        ("fd00::2", "2001:db8::7", ""),
        ("2001:db8::7", "fe80::7", ""),
    ],
    ids=["to one", "between two", "IPv4", "egress of nobody isolated", "node of nobody isolated",
         "routed", "from beyond"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["eval", "explain"])
def test_what_a_bridge_denies_is_said(
    files: Path, command: str, source: str, destination: str, said: str
) -> None:
    done = run(command, str(files), "--src", source, "--dst", destination, "--port", "80")
    assert (done.exit_code, done.stdout.partition(" ")[0]) == (0, "ALLOW")
    assert said in done.stderr
    assert bool(said) is (DENIES in done.stderr)


def test_an_address_of_the_node_is_no_pods(files: Path) -> None:
    flow = ("--src", "default/open", "--dst", "fe80::7", "--port", "80")
    done = run("eval", str(files), *flow, "--node-address", "node-a=fe80::7")
    assert done.exit_code == 0
    assert DENIES not in done.stderr


def test_neighbour_discovery_is_excepted(files: Path) -> None:
    flow = ("--src", "fe80::8", "--dst", "fe80::7", "--protocol", "ICMP")
    assert f"{DENIES}, but for neighbour discovery (" in run("eval", str(files), *flow).stderr


def test_a_logged_frame_is_explained_with_it(files: Path) -> None:
    done = run("explain", str(files), "--log-line", LOGGED)
    assert done.stdout.startswith("ALLOW fe80::7 -> fe80::8 TCP/80")
    assert DENIES in done.stderr


@pytest.mark.parametrize("block", ["fe80::/64", "203.0.113.0/24"])
def test_expectations_of_link_local_addresses(files: Path, block: str) -> None:
    expected = {"from": "open", "to": block, "port": "TCP/80", "expect": "allow"}
    (files / "expectations.json").write_text(
        json.dumps(
            {
                "apiVersion": "netpolc.dev/v1",
                "kind": "Expectations",
                "metadata": {"name": "own"},
                "expectations": [expected],
            }
        )
    )
    done = run("test", str(files))
    assert done.exit_code == 0
    assert (DENIES in done.stderr) is (block == "fe80::/64")
