"""`netpolc explain`: what it takes, what it refuses, what programs and terminals get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.invocation import invoke
from tests.cli.test_terminal import on_terminal
from tests.helpers.scenarios import ROOT

FOLDER = str(ROOT / "examples" / "three-tier")
POLICIES = f"{FOLDER}/policies.yaml"
ENDS = ("--src", "other/client", "--dst", "production/backend-1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FOLDER,), "give --src and --dst, --log-line, or name a policy: PATH#NAMESPACE/NAME"),
        ((FOLDER, "--src", "other/client"), "give --src and --dst, --log-line, or name a policy"),
        ((FOLDER, "--port", "80"), "give --src and --dst, --log-line, or name a policy"),
        (
            (f"{POLICIES}#production/x", *ENDS, "--port", "80"),
            "give --src and --dst, --log-line, or name",
        ),
        ((FOLDER, *ENDS), "needs a port"),
        ((FOLDER, *ENDS, "--protocol", "ICMP", "--port", "1"), "has no ports"),
        ((FOLDER, "--src", "no/such", "--dst", "other/client", "--port", "1"), "unknown pod"),
        (
            (f"{POLICIES}#production/x",),
            "no policy 'production/x' (NAMESPACE/NAME, or KIND/NAME): there is ",
        ),
        ((f"{POLICIES}#production",), "production/backend-policy, production/database-policy"),
        (("no-such-file#production/x",), "no-such-file: No such file or directory"),
    ],
)
def test_usage(arguments: tuple[str, ...], message: str) -> None:
    outcome = invoke("explain", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr


def test_a_policy_needs_nothing_around_it_and_no_warning_says_so() -> None:
    outcome = invoke("explain", f"{POLICIES}#production/database-policy")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert " here: " not in outcome.stdout
    with_pods = invoke("explain", f"{POLICIES}#production/database-policy", FOLDER)
    assert "(1 here: production/database-1)" in " ".join(with_pods.stdout.split())


def test_a_file_may_have_a_mark_in_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "a#b.yaml"
    path.write_text(Path(POLICIES).read_text())
    assert invoke("explain", f"{path}#production/database-policy").code == 0
    assert "give --src and --dst" in invoke("explain", str(path)).stderr
    piped = invoke("explain", "--", "-#production/database-policy", stdin=path.read_bytes())
    assert piped.stdout.startswith("NetworkPolicy production/database-policy, at <stdin>:62:1")


def test_every_near_miss_is_there_if_asked_for() -> None:
    folder = str(ROOT / "examples" / "full-example")
    arguments = ("explain", folder, "--src", "172.17.1.0", "--dst", "default/db", "--port", "6379")
    found = [
        json.loads(invoke(*arguments, "-o", "json", *more).stdout)["flows"][0]["ingress"]["near"]
        for more in ((), ("--all",))
    ]
    assert [len(near) for near in found] == [3, 4]
    assert found[1][:3] == found[0]
    assert found[0][0]["missing"][0]["kind"] == "except"


def test_where_the_source_is_one_line_of_json(tmp_path: Path) -> None:
    """As `kubectl get -o json | jq -c` prints it: the rule is shown, not the line."""
    rules = [{"ports": [{"port": 1}]}, {"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}]
    listed = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"p{n}", "namespace": "x"},
            "spec": {"ingress": rules},
        }
        for n in range(20)
    ]
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "x", "labels": {"a": "b"}},
            "status": {"podIPs": [{"ip": f"10.0.0.{n}"}]},
        }
        for n, name in enumerate("pq")
    ]
    path = tmp_path / "all.json"
    path.write_text(json.dumps({"kind": "List", "items": [*listed, *pods]}))
    ends = ("--src", "x/p", "--dst", "x/q", "--port", "80")
    lines = invoke("explain", str(path), *ends).stdout.splitlines()
    assert '         1 | …{"from": [{"podSelector": {"matchLabels": {"a": "b"}}}]}…' in lines
    assert sum("accepts through from[0] too" in line for line in lines) == 19


def test_colour_on_a_terminal_only() -> None:
    command = ["explain", FOLDER, *ENDS, "--port", "8080"]
    shown = on_terminal(f"from netpolc.cli import main; main({command!r})", expect=1)
    assert "\x1b[31mDENY 10.244.1.61" in shown
    assert "\x1b[32m      + the port matches" in shown
    assert "\x1b" not in invoke(*command).stdout


def test_a_policy_that_is_tried() -> None:
    flow = ("--src", "shop/report", "--dst", "shop/db", "--port", "5432")
    outcome = invoke("explain", str(ROOT / "examples" / "audit"), *flow)
    assert outcome.code == 0
    assert "  shop/db-clients is tried and decides nothing, at " in outcome.stdout
    assert "  enforced, what is tried would deny it\n" in outcome.stdout
    admitted = ("--src", "shop/web", "--dst", "shop/db", "--port", "5432")
    assert "enforced" not in invoke("explain", str(ROOT / "examples" / "audit"), *admitted).stdout
    path = ROOT / "examples" / "audit" / "snapshot.yaml"
    sentences = invoke("explain", f"{path}#shop/db-clients").stdout
    assert "it is tried (netpolc.dev/audit)" in sentences


LOGGED = (
    "Nov 21 04:21:01 node-a kernel: netpolc ingress i_5bad91684b8c0917: IN=veth1 OUT=veth3 "
    "SRC=10.244.1.61 DST=10.244.1.21 LEN=60 TTL=63 ID=1 DF PROTO=TCP SPT=40000 DPT=8080 WINDOW=0 "
)
THREE_TIER = str(ROOT / "examples" / "three-tier")
ASKED = ("--src", "other/client", "--dst", "10.244.1.21", "--port", "8080")


def test_a_line_of_the_log_is_explained_as_its_flow() -> None:
    logged = invoke("explain", THREE_TIER, "--log-line", LOGGED)
    assert logged.code == 1
    assert logged.stdout.startswith("DENY 10.244.1.61 -> 10.244.1.21 TCP/8080\n")
    assert logged.stdout == invoke("explain", THREE_TIER, "--src", "10.244.1.61", *ASKED[2:]).stdout


def test_a_log_on_standard_input() -> None:
    """Lines of others are passed over, broken ones are told, what was said is not said again."""
    lines = [
        "Nov 21 04:21:00 node-a kernel: usb 1-1: new device",
        LOGGED,
        LOGGED.replace("SPT=40000", "SPT=40001"),
        LOGGED.partition("PROTO")[0],
        LOGGED.replace("DPT=8080", "DPT=22"),
    ]
    outcome = invoke("explain", THREE_TIER, "--log-line", "-", stdin="\n".join(lines).encode())
    assert outcome.code == 1
    verdicts = [line for line in outcome.stdout.splitlines() if line.startswith("DENY")]
    assert verdicts == [
        "DENY 10.244.1.61 -> 10.244.1.21 TCP/8080",
        "DENY 10.244.1.61 -> 10.244.1.21 TCP/22",
    ]
    assert "<stdin>:4: no PROTO" in outcome.stderr
    form = invoke(
        "explain", THREE_TIER, "--log-line", "-", "-o", "json", stdin="\n".join(lines).encode()
    )
    assert [flow["port"] for flow in json.loads(form.stdout)["flows"]] == [8080, 22]
    assert invoke("explain", THREE_TIER, "--log-line", "-", stdin=b"nothing\n").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([THREE_TIER, "--log-line", "usb 1-1: new device"], "not a line that netpolc's ruleset"),
        ([THREE_TIER, "--log-line", LOGGED.partition("PROTO")[0]], "no PROTO"),
        ([THREE_TIER, "--log-line", LOGGED, *ASKED], "give --src and --dst, --log-line, or"),
        (["-", "--log-line", "-"], "standard input is the log or the manifests"),
    ],
)
def test_no_line_of_the_log(arguments: list[str], words: str) -> None:
    outcome = invoke("explain", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
