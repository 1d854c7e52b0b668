"""What came close to a rule, and what is said of a policy, sentence by sentence.

In: one policy, written for one thing that may be said of it. Out: what matched, what was missing,
and the notes, written by hand.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import netpolc
from netpolc.analysis.explain import Side, explain, formats, policy
from tests.helpers.manifests import namespace, node, pod
from tests.helpers.manifests import policy as manifest

WEB = pod("shop/web", "10.0.0.1", "fd00::1", app="web")
SERVED: dict[str, Any] = pod("shop/db", "10.0.0.2", "fd00::2", app="db", tier="back")
SERVED["spec"]["containers"][0]["ports"] = [{"name": "sql", "containerPort": 5432}]
CLUSTER = [
    namespace("shop", team="a"),
    namespace("lab", team="b"),
    node("node-a", "192.168.0.1"),
    WEB,
    SERVED,
    pod("lab/web", "10.0.1.1", app="web"),
]
OUTSIDE = "203.0.113.7"


def side(spec: dict[str, Any], source: str, port: int | None = 5432, protocol: Any = 6) -> Side:
    """The ingress of shop/db under one policy."""
    snapshot = netpolc.load_objects([*CLUSTER, manifest("shop/p", podSelector={}, **spec)])
    program = netpolc.compile(snapshot)
    flow = netpolc.Flow(source, "10.0.0.2", protocol, port)
    return explain(program, snapshot, flow).ingress


def labels(**wanted: str) -> dict[str, Any]:
    return {"matchLabels": wanted}


def peer(**fields: Any) -> dict[str, Any]:
    """A policy with one peer."""
    return {"ingress": [{"from": [fields]}]}


def ports(*listed: dict[str, Any]) -> dict[str, Any]:
    """A policy with ports alone."""
    return {"ingress": [{"ports": list(listed)}]}


EXPRESSION = {"key": "app", "operator": "NotIn", "values": ["web", ""]}


@pytest.mark.parametrize(
    ("spec", "source", "missing"),
    [
        (
            peer(podSelector=labels(app="api")),
            "10.0.0.1",
            {"+ the namespace matches", "+ the port matches",
             "- label app=api is needed, shop/web has app=web"},
        ),
        (
            peer(podSelector=labels(app="web", zone="x")),
            "10.0.1.1",
            {"+ the port matches", "- label zone=x is needed, lab/web has none",
             "- a podSelector alone means pods of namespace shop, this one is of lab"},
        ),
        (
            peer(namespaceSelector=labels(team="a"), podSelector=labels(app="web")),
            "10.0.1.1",
            {"+ the labels match", "+ the port matches",
             "- namespace label team=a is needed, namespace lab has team=b"},
        ),
        (
            peer(namespaceSelector=labels(**{"kubernetes.io/metadata.name": "shop"})),
            "10.0.1.1",
            {"+ the port matches", "- pods of namespace shop are meant, this one is of lab"},
        ),
        (
            peer(podSelector={"matchExpressions": [EXPRESSION]}),
            "10.0.0.1",
            {"+ the namespace matches", "+ the port matches",
             '- label app not in ("", web) is needed, shop/web has app=web'},
        ),
        (
            peer(podSelector={"matchExpressions": [{"key": "zone", "operator": "Exists"}]}),
            "10.0.0.1",
            {"+ the namespace matches", "+ the port matches",
             "- a label zone is needed, shop/web has none"},
        ),
        (
            peer(podSelector={"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}),
            "10.0.0.1",
            {"+ the namespace matches", "+ the port matches",
             "- no label app may be there, shop/web has app=web"},
        ),
        (
            peer(namespaceSelector={}),
            OUTSIDE,
            {"+ the port matches",
             "- selectors match pods only, 203.0.113.7 is no pod's own address"},
        ),
        (
            peer(ipBlock={"cidr": "203.0.113.0/24", "except": ["203.0.113.0/28"]}),
            OUTSIDE,
            {"+ the port matches",
             "- 203.0.113.7 is in ipBlock 203.0.113.0/24 but in its except 203.0.113.0/28"},
        ),
        (
            peer(ipBlock={"cidr": "203.0.113.8/32"}),
            OUTSIDE,
            {"+ the port matches", "- 203.0.113.7 is outside of ipBlock 203.0.113.8/32"},
        ),
        (
            peer(ipBlock={"cidr": "::/0"}),
            OUTSIDE,
            {"+ the port matches",
             "- ipBlock ::/0 is of the other address family than 203.0.113.7"},
        ),
        (
            ports({"port": 80}, {"port": 90, "endPort": 99, "protocol": "UDP"}),
            "10.0.0.1",
            {"+ any peer would do",
             "- asked for TCP port 5432, the rule admits TCP port 80; UDP ports 90-99"},
        ),
        (
            ports({"port": 5432, "protocol": "SCTP"}),
            "10.0.0.1",
            {"+ any peer would do", "- asked for TCP port 5432, which the rule admits over SCTP"},
        ),
        (
            ports({"port": "http"}),
            "10.0.0.1",
            {"+ any peer would do",
             "- asked for TCP port 5432, the rule admits the TCP port named http "
             "(there is none on shop/db)"},
        ),
    ],
)  # fmt: skip
def test_what_came_close(spec: dict[str, Any], source: str, missing: set[str]) -> None:
    found = side(spec, source)
    assert not found.decision.allowed
    (miss,) = found.misses
    said = {f"+ {met}" for met in miss.met} | {f"- {gap.message}" for gap in miss.gaps}
    assert said == missing


def test_a_port_name_on_the_destination() -> None:
    (miss,) = side(ports({"port": "sql"}), "10.0.0.1", 80).misses
    assert miss.gaps[0].message.endswith("the TCP port named sql (5432 on shop/db)")
    assert side(ports({"port": "sql"}), "10.0.0.1").accepting


def test_protocols_without_ports() -> None:
    (miss,) = side(ports({"port": 80}), "10.0.0.1", None, 1).misses
    wanted = "protocol 1 has no ports: only a rule without ports admits it"
    assert [gap.message for gap in miss.gaps] == [wanted]


def test_a_port_name_leads_to_the_pods_in_a_block_and_to_no_other_address() -> None:
    blocks = [{"ipBlock": {"cidr": cidr}} for cidr in ("10.0.0.0/24", "203.0.113.0/24")]
    spec = {"policyTypes": ["Egress"], "egress": [{"to": blocks, "ports": [{"port": "sql"}]}]}
    snapshot = netpolc.load_objects([*CLUSTER, manifest("shop/p", podSelector={}, **spec)])
    program = netpolc.compile(snapshot)
    pod, other, outside = (
        explain(program, snapshot, netpolc.Flow("10.0.0.1", to, "TCP", port)).egress
        for to, port in (("10.0.0.2", 5432), ("10.0.0.2", 80), ("203.0.113.9", 5432))
    )
    assert pod.decision.allowed
    assert not other.decision.allowed
    assert not outside.decision.allowed
    assert outside.misses[0].met == ("203.0.113.9 is in the ipBlock",)
    assert "named sql (there is none on" in outside.misses[0].gaps[0].message


def test_the_closest_come_first() -> None:
    far = {"ipBlock": {"cidr": "192.0.2.0/24"}}
    two = {"namespaceSelector": labels(team="c"), "podSelector": labels(app="x")}
    one = {"podSelector": labels(app="x")}
    found = side({"ingress": [{"from": [far, two, one]}, {"ports": [{"port": 1}]}]}, "10.0.0.1")
    fields = [miss.field[2:] for miss in found.misses]
    assert fields == [(0, "from", 2), (1,), (0, "from", 1), (0, "from", 0)]


def test_all_that_admit_are_named() -> None:
    rules = [{"from": [{"podSelector": {}}]}, {"ports": [{"port": 80}]}, {}]
    found = side({"ingress": rules}, "10.0.0.1")
    assert [rule.origin.rule for rule in found.accepting] == ["ingress[0]", "ingress[2]"]
    assert found.misses == ()


def test_a_policy_of_the_other_direction_is_not_consulted() -> None:
    found = side({"policyTypes": ["Egress"]}, "10.0.0.1")
    assert found.decision.allowed
    assert found.consulted == ()


RULE = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p, namespace: shop}
spec:
  ingress:
    - ports: # \u202e
"""


def test_an_excerpt_is_cut_and_cannot_steer_a_terminal(tmp_path: Path) -> None:
    ports = [f"        - port: {number}\n" for number in range(1, 21)]
    path, rest = tmp_path / "p.yaml", tmp_path / "rest.json"
    path.write_text("".join((RULE, *ports)))
    rest.write_text(json.dumps({"kind": "List", "items": CLUSTER}))
    snapshot = netpolc.load([path, rest])
    flow = netpolc.Flow("10.0.0.1", "10.0.0.2", "TCP", 1)
    explanation = explain(netpolc.compile(snapshot), snapshot, flow)
    lines = [line.text for line in formats.text([explanation])]
    first = lines.index("         6 |     - ports: # \\u202e")
    assert lines[first + 1].endswith("|         - port: 1")
    assert "... 13 more lines" in lines[first + 8]


def said(spec: dict[str, Any], *more: dict[str, Any]) -> policy.Description:
    snapshot = netpolc.load_objects([manifest("shop/p", **spec), *more])
    return policy.describe(snapshot, snapshot.policies[0])


BLOCK = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}


@pytest.mark.parametrize(
    ("spec", "notes"),
    [
        ({"ingress": [{"ports": [{"port": 80}]}]}, []),
        ({"egress": [{}]}, ["policyTypes is missing, and then ingress is isolated too: to leave "
                            "it alone, write policyTypes: [Egress]."]),
        ({"egress": [{}], "ingress": []}, []),
        ({"egress": []}, ["an empty egress without policyTypes isolates no egress: to deny all of "
                          "it, write policyTypes with Egress."]),
        ({"policyTypes": ["Ingress"], "egress": [{}]},
         ["policyTypes leaves Egress out: what the policy says under egress has no effect."]),
        ({"policyTypes": ["Egress"]},
         ["no egress rule of it admits UDP port 53: unless another policy does, the pods cannot "
          "look up names."]),
        ({"policyTypes": ["Egress"], "egress": [{"ports": [{"port": 53, "protocol": "UDP"}]}]}, []),
        ({"podSelector": {"matchExpressions": [EXPRESSION]}},
         ["not in also matches what has no label app at all."]),
        ({"ingress": [{"from": [BLOCK]}, {"from": [BLOCK]}]},
         ["ingress[0] and ingress[1]: 0.0.0.0/0 is every IPv4 address and no other; the rest is "
          "::/0.",
          "ingress[0] and ingress[1]: an ipBlock means addresses, those of pods and nodes in it "
          "too.",
          "ingress[0] and ingress[1]: an except denies nothing: another peer, rule or policy may "
          "admit those addresses."]),
        ({"ingress": [{"ports": [{"protocol": "UDP"}]}]},
         ["ingress[0]: every UDP port is no other protocol; without ports the rule admits all."]),
        ({"ingress": [{"ports": [{"port": "http"}]}]},
         ["ingress[0]: port names are those of the selected pods' containers; Services are not "
          "looked at."]),
        ({"ingress": [{"from": [{"namespaceSelector": {}}]}]},
         ["ingress[0]: every pod is not everybody: nodes, hostNetwork pods and the outside are not "
          "meant."]),
        ({"ingress": [{"from": [{"namespaceSelector": labels(team="a")},
                                {"podSelector": labels(app="web")}]}]},
         ["ingress[0]: the items of the list are alternatives; to ask for namespace and pod labels "
          "at once, write both selectors in one item."]),
    ],
)  # fmt: skip
def test_what_is_easily_misunderstood(spec: dict[str, Any], notes: list[str]) -> None:
    assert list(said(spec).notes) == notes


def test_port_names_lead_to_pods_only() -> None:
    spec = {"policyTypes": ["Egress"], "egress": [{"ports": [{"port": "dns", "protocol": "UDP"}]}]}
    description = said(spec)
    assert description.admits[0].opening == "admits the UDP port named dns of any pod to"
    last = description.notes[-1]
    assert last.endswith("a port name leads to pods only: no other address has named ports.")


def test_hosts_are_selected_and_not_isolated() -> None:
    host = pod("shop/agent", "192.168.0.1", app="agent")
    host["spec"]["hostNetwork"] = True
    (note,) = said({"podSelector": labels(app="agent")}, host).notes
    assert "hostNetwork pods are their node (shop/agent)" in note


@pytest.mark.parametrize(
    ("spec", "isolates"),
    [
        ({}, "Their ingress is isolated: only what a rule of this or another policy admits gets "
             "in. It has no ingress rule, so by itself it lets nothing in. It leaves egress as it "
             "is."),
        ({"policyTypes": ["Ingress", "Egress"]},
         "Their ingress and egress are isolated: only what a rule of this or another policy admits "
         "gets in or out. It has no ingress or egress rule, so by itself it lets nothing in or "
         "out."),
        ({"policyTypes": ["Egress"], "egress": [{}]},
         "Their egress is isolated: only what a rule of this or another policy admits gets out. It "
         "leaves ingress as it is."),
    ],
)  # fmt: skip
def test_what_it_isolates(spec: dict[str, Any], isolates: str) -> None:
    assert said(spec).isolates == isolates


@pytest.mark.parametrize(
    ("rule", "admits"),
    [
        ({}, "admits every port and protocol from anywhere: every pod, node and address outside"),
        ({"from": [], "ports": [{}]},
         "admits every TCP port from anywhere: every pod, node and address outside"),
        ({"ports": [{"port": 80}, {"port": 8000, "endPort": 8010},
                    {"port": 7, "protocol": "SCTP"}]},
         "admits TCP port 80, TCP ports 8000-8010 and SCTP port 7 from anywhere: every pod, node "
         "and address outside"),
        ({"from": [{"podSelector": {}}]},
         "admits every port and protocol from every pod in namespace shop"),
        ({"from": [{"namespaceSelector": labels(**{"kubernetes.io/metadata.name": "lab"}),
                    "podSelector": labels(app="web")}]},
         "admits every port and protocol from pods in namespace lab with app=web"),
        ({"from": [{"namespaceSelector": labels(team="a"), "podSelector": labels(app="web")}]},
         "admits every port and protocol from pods with app=web in namespaces with team=a"),
        ({"from": [{"ipBlock": {"cidr": "2001:db8::1/128"}}]},
         "admits every port and protocol from addresses in 2001:db8::1/128"),
    ],
)  # fmt: skip
def test_what_a_rule_admits(rule: dict[str, Any], admits: str) -> None:
    (admission,) = said({"ingress": [rule]}).admits
    assert " ".join((admission.opening, *admission.peers)) == admits


def test_pods_are_counted_where_there_are_any() -> None:
    spec = {"podSelector": labels(app="web"), "ingress": [{"from": [{"podSelector": {}}]}]}
    pods = [pod(f"shop/web-{n}", f"10.0.0.{n}", app="web") for n in range(1, 7)]
    assert said(spec, *pods).selects == (
        "It selects pods in namespace shop with app=web (6 here: shop/web-1, shop/web-2, "
        "shop/web-3, shop/web-4 and 2 more)."
    )
    elsewhere = pod("lab/x", "10.0.0.1")
    assert said(spec, elsewhere).selects.endswith("with app=web (none here).")
    assert said(spec).selects.endswith("with app=web.")
