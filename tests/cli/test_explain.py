"""`netpolc explain`: what it takes, what it refuses, what programs and terminals get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.invocation import invoke
from tests.cli.test_terminal import on_terminal
from tests.scenarios import ROOT

FOLDER = str(ROOT / "examples" / "three-tier")
POLICIES = f"{FOLDER}/policies.yaml"
ENDS = ("--src", "other/client", "--dst", "production/backend-1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FOLDER,), "give --src and --dst, or name a policy: PATH#NAMESPACE/NAME"),
        ((FOLDER, "--src", "other/client"), "give --src and --dst, or name a policy"),
        ((FOLDER, "--port", "80"), "give --src and --dst, or name a policy"),
        ((f"{POLICIES}#production/x", *ENDS, "--port", "80"), "give --src and --dst, or name"),
        ((FOLDER, *ENDS), "needs a port"),
        ((FOLDER, *ENDS, "--protocol", "ICMP", "--port", "1"), "has no ports"),
        ((FOLDER, "--src", "no/such", "--dst", "other/client", "--port", "1"), "unknown pod"),
        ((f"{POLICIES}#production/x",), "no policy 'production/x' (NAMESPACE/NAME): there is "),
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
