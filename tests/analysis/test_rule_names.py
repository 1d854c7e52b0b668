"""Names of rules, which may hold any character, and what would decide next, in every form.

In: a cluster of manifests with two tiers. Out: what `explain`, `eval`, `diff` and `test` print, by
hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import netpolc
from netpolc.backends.nft.signals.counters import attribute_counters, prometheus
from netpolc.backends.nft.signals.drops import Drops
from tests.cli.invocation import invoke

HOSTILE = "a\\n::error::b"
CLUSTER = f"""
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: shop, labels: {{app: web}}}}
spec: {{containers: [{{name: c}}]}}
status: {{podIPs: [{{ip: 10.0.0.1}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: probe, namespace: lab}}
spec: {{containers: [{{name: c}}]}}
status: {{podIPs: [{{ip: 10.0.1.1}}]}}
---
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {{name: guard}}
spec:
  tier: Admin
  priority: 10
  subject: {{namespaces: {{}}}}
  ingress:
  - {{name: "{HOSTILE}", action: Deny, from: [{{namespaces: {{}}}}]}}
---
apiVersion: policy.networking.k8s.io/v1alpha1
kind: BaselineAdminNetworkPolicy
metadata: {{name: default}}
spec:
  subject: {{namespaces: {{}}}}
  ingress:
  - {{name: let all in, action: Allow, from: [{{namespaces: {{}}}}]}}
"""
SHOWN = '"a\\n::error::b"'
FLOW = ("--src", "lab/probe", "--dst", "shop/web", "--port", "80")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("now.yaml").write_text(CLUSTER)
    Path("then.yaml").write_text(CLUSTER.replace("action: Deny", "action: Pass"))


@pytest.mark.usefixtures("files")
def test_explain_names_the_rule_and_what_would_decide_next() -> None:
    lines = invoke("explain", "now.yaml", *FLOW).stdout.splitlines()
    start = lines.index(
        f"ingress of shop/web: denied by ClusterNetworkPolicy/guard ingress[0] {SHOWN}"
    )
    assert [line for line in lines[start + 1 :] if " | " not in line] == [
        "  ClusterNetworkPolicy/guard judges it in the Admin tier, at now.yaml:14:1",
        f"    ingress[0] {SHOWN} denies through from[0], which decides, at now.yaml:22:5",
        "  BaselineAdminNetworkPolicy/default judges it in the Baseline tier, at now.yaml:24:1",
        '    ingress[0] "let all in" accepts through from[0], but is not asked any more, '
        "at now.yaml:30:5",
        "  without that rule: allowed, BaselineAdminNetworkPolicy/default ingress[0] "
        '"let all in" at now.yaml:30:5',
    ]


@pytest.mark.usefixtures("files")
def test_explain_for_programs() -> None:
    found = json.loads(invoke("explain", "now.yaml", *FLOW, "-o", "json").stdout)
    side = found["flows"][0]["ingress"]
    assert (side["rule"], side["name"]) == (
        "ClusterNetworkPolicy/guard ingress[0]",
        "a\n::error::b",
    )
    assert side["next"] == {
        "allowed": True,
        "reason": "decided by a rule",
        "rule": "BaselineAdminNetworkPolicy/default ingress[0]",
        "name": "let all in",
    }
    assert [own["name"] for p in side["policies"] for own in p["rules"]] == [
        "a\n::error::b",
        "let all in",
    ]
    assert "next" not in found["flows"][0]["egress"]  # nothing judges it


@pytest.mark.usefixtures("files")
def test_a_policy_in_sentences() -> None:
    text = invoke("explain", "now.yaml#BaselineAdminNetworkPolicy/default").stdout
    assert '- ingress[0] "let all in" admits every port and protocol from every pod' in text
    assert "isolates nothing" not in text


@pytest.mark.usefixtures("files")
def test_diff_in_every_form() -> None:
    denied = f"ingress denied by ClusterNetworkPolicy/guard ingress[0] {SHOWN} (now.yaml:22:5)"
    allowed = (
        'ingress was admitted by BaselineAdminNetworkPolicy/default ingress[0] "let all in" '
        "(then.yaml:30:5)"
    )
    table = invoke("diff", "then.yaml", "now.yaml").stdout.splitlines()
    assert [line.strip() for line in table[2:4]] == [denied, allowed]
    cell = f"{denied}; {allowed}".replace('"', '""')
    assert f'"{cell}"' in invoke("diff", "then.yaml", "now.yaml", "-o", "csv").stdout
    markdown = invoke("diff", "then.yaml", "now.yaml", "-o", "md").stdout
    assert '"a ::error::b"' in markdown  # one line, which does not begin with a command
    found = json.loads(invoke("diff", "then.yaml", "now.yaml", "-o", "json").stdout)
    causes = [cause for own in found["changes"] for cause in own["examples"][0]["causes"]]
    assert {(own["effect"], own["policy"], own["name"]) for own in causes} == {
        ("denied by", "ClusterNetworkPolicy/guard", "a\n::error::b"),
        ("was admitted by", "BaselineAdminNetworkPolicy/default", "let all in"),
    }


@pytest.mark.usefixtures("files")
def test_expectations_say_which_rule_decides() -> None:
    Path("expect.yaml").write_text(
        "apiVersion: netpolc.dev/v1\nkind: Expectations\nmetadata: {name: own}\n"
        "expectations: [{from: lab/probe, to: shop/web, port: 80, expect: allow}]\n"
    )
    outcome = invoke("test", "now.yaml", "expect.yaml")
    assert outcome.code == 1
    assert f"ClusterNetworkPolicy/guard ingress[0] {SHOWN} at now.yaml:22:5" in outcome.stdout


@pytest.mark.usefixtures("files")
def test_list_says_which_rule_decides() -> None:
    asked = ("--why", "--workload", "web", "--direction", "ingress")
    admitted = 'ingress all admitted by BaselineAdminNetworkPolicy/default ingress[0] "let all in"'
    csv = invoke("list", "then.yaml", *asked, "-o", "csv").stdout.splitlines()
    cell = admitted.replace('"', '""')
    assert csv[0].endswith("connection,because of")
    assert f'lab/probe[Pod],shop/web[Pod],IPv4,all,"{cell}"' in csv
    assert "0.0.0.0/0,shop/web[Pod],IPv4,all," in csv  # no ingress rule can mean it
    table = invoke("list", "then.yaml", *asked).stdout
    assert f"lab/probe[Pod]  shop/web[Pod]  all         {admitted}" in table
    markdown = invoke("list", "then.yaml", *asked, "-o", "md").stdout
    assert 'BaselineAdminNetworkPolicy/default ingress\\[0\\] "let all in"' in markdown
    found = json.loads(invoke("list", "then.yaml", *asked, "-o", "json").stdout)
    assert found["connections"][0]["because"] == [
        {
            "direction": "ingress",
            "action": "accept",
            "policy": "BaselineAdminNetworkPolicy/default",
            "rule": "ingress[0]",
            "name": "let all in",
            "ports": "all",
            "place": "then.yaml:30:5",
        }
    ]


@pytest.mark.usefixtures("files")
def test_list_says_what_is_left_out_and_of_pods_to_come() -> None:
    Path("now.yaml").write_text(
        CLUSTER.replace(
            "action: Deny", "protocols: [{tcp: {destinationPort: {number: 22}}}], action: Deny"
        )
    )
    asked = ("--exposure", "--why", "--workload", "web", "--direction", "ingress", "-o", "csv")
    printed = invoke("list", "now.yaml", *asked).stdout
    assert "[any new namespace]/[any pod],shop/web[Pod],IPv4,all except TCP 22," in printed
    assert (
        f"ingress TCP 22 denied by ClusterNetworkPolicy/guard ingress[0] {SHOWN}".replace('"', '""')
        in printed
    )
    assert "ingress all except TCP 22 admitted by BaselineAdminNetworkPolicy/default" in printed
    assert invoke("list", "now.yaml", "--why", "-o", "html").code == 2


FORGED = 'a" accepts and ClusterNetworkPolicy/other ingress[0] "b\\'
IN_QUOTES = '"a\\" accepts and ClusterNetworkPolicy/other ingress[0] \\"b\\\\"'
"""By hand: the name as a text for people has it, in which no quote of its own ends it."""


@pytest.mark.usefixtures("files")
def test_no_name_ends_its_quotes() -> None:
    """In findings, SARIF, pages, tables, explanations; names in JSON are as they were written."""
    name = json.dumps(FORGED)
    other = CLUSTER.partition("kind: BaselineAdminNetworkPolicy")[0].rpartition("---")[0]
    guard = other.rpartition("---")[2].replace(f'"{HOSTILE}"', name)
    tied = guard.replace("name: guard", "name: tied").replace("action: Deny", "action: Pass")
    Path("now.yaml").write_text(f"{other.rpartition('---')[0]}---{guard}---{tied}")
    text = invoke("check", "now.yaml").stdout
    says = f"ClusterNetworkPolicy/guard ingress[0] {IN_QUOTES} denies"
    assert says in text
    assert f"ClusterNetworkPolicy/tied ingress[0] {IN_QUOTES} passes" in text
    assert says in "".join(
        own["message"]["text"]
        for own in json.loads(invoke("check", "now.yaml", "-o", "sarif").stdout)["runs"][0][
            "results"
        ]
    )
    assert (
        f"denied by {says.removesuffix(' denies')}" in invoke("explain", "now.yaml", *FLOW).stdout
    )
    page = invoke("list", "now.yaml", "-o", "html").stdout
    assert FORGED not in page
    found = json.loads(invoke("explain", "now.yaml", *FLOW, "-o", "json").stdout)
    assert found["flows"][0]["ingress"]["name"] == FORGED
    table = invoke("compile", "now.yaml", "--log", "1/second").stdout
    assert "accepts and" not in table
    lines = re.findall(r'log prefix "netpolc ingress i_rule_[^"]*"', table)
    assert lines
    assert all("(a__acc" in line for line in lines)  # plain characters


@pytest.mark.usefixtures("files")
def test_metrics_have_plain_names() -> None:
    """The label is the comment of the counter, in which a name is plain characters."""
    Path("now.yaml").write_text(CLUSTER.replace(f'"{HOSTILE}"', json.dumps(FORGED)))
    program = netpolc.compile(netpolc.load(["now.yaml"]))
    drops = [
        Drops(own.name.removeprefix("drop_"), 1, 60, own.comment)
        for own in program.ruleset().table.counters
        if own.name.startswith("drop_i_rule")
    ]
    text = prometheus("netpolc", attribute_counters("netpolc", drops, (), program))
    (sample,) = [own for own in text.splitlines() if own.startswith("netpolc_denied_packets")]
    assert 'policies="ClusterNetworkPolicy/guard ingress[0] (a__accepts_and' in sample
    assert sample.count('"') == 2 * 4


BLOCKED = """
apiVersion: policy.networking.k8s.io/v1alpha2
kind: ClusterNetworkPolicy
metadata: {name: guard}
spec:
  tier: Admin
  priority: 10
  subject: {namespaces: {}}
  egress:
  - {action: Deny, to: [{networks: [198.51.100.0/24]}]}
"""


@pytest.mark.usefixtures("files")
def test_blocks_are_called_as_the_kind_calls_them() -> None:
    Path("now.yaml").write_text(f"{CLUSTER.partition('---')[0]}---{BLOCKED}")
    near = ("--src", "shop/web", "--dst", "203.0.113.1", "--port", "80", "--all")
    for asked in (near, ("now.yaml#ClusterNetworkPolicy/guard",)):
        told = invoke(
            "explain", *([] if asked[0].startswith("now") else ["now.yaml"]), *asked
        ).stdout
        assert "ipBlock" not in told
    assert "networks mean addresses, those of pods and nodes in them too" in " ".join(told.split())
