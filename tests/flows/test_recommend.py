"""Recommended policies: what they say, that the semantics admit every flow, what is told."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.core.nets import format_address, parse_cidr
from netpolc.flows.audit import Audit
from netpolc.flows.recommendation import Observation, Wishes, recommend
from netpolc.flows.recommendation.cidrs import as_cidrs
from netpolc.flows.recommendation.recommended import read_back
from netpolc.flows.schema import Record, batches
from tests.cli.invocation import invoke
from tests.flows.test_audit import HEADER, log
from tests.helpers.scenarios import ROOT

EXAMPLE = ROOT / "examples" / "three-tier"
PODS = tuple(f"--policies={EXAMPLE / name}.yaml" for name in ("pods", "namespaces", "nodes"))
FRONTEND, FRONTEND_2 = "10.244.1.11", "10.244.2.12"
BACKEND, DATABASE, DNS = "10.244.1.21", "10.244.1.31", "10.244.1.53"
CLIENT, OUTSIDE, NODE_A, NODE_B = "10.244.1.61", "203.0.113.7", "192.168.0.10", "192.168.0.11"


def flow(src: str, dst: str, port: int | str, protocol: str = "tcp", rest: str = "") -> str:
    return f"{src},{dst},{protocol},{port},40000,{rest or 'forwarded,,false'}"


def recommended(folder: Path, *rows: str, extra: tuple[str, ...] = PODS) -> tuple[Any, Any]:
    """The outcome, and the policies by name."""
    outcome = invoke("recommend", log(folder, *rows), *extra)
    found = {own["metadata"]["name"]: own["spec"] for own in yaml.safe_load_all(outcome.stdout)}
    return outcome, found


def test_policies_by_hand(tmp_path: Path) -> None:
    """Both frontends and one backend were seen: the rules are for all pods of their labels."""
    outcome, found = recommended(
        tmp_path,
        flow(FRONTEND, BACKEND, 8080),
        flow(FRONTEND_2, BACKEND, 8080),
        flow(OUTSIDE, FRONTEND, 80),
        flow(FRONTEND, DNS, 53, "udp"),
    )
    assert outcome.code == 0
    frontend = {"podSelector": {"matchLabels": {"app": "frontend"}}}
    backend = {"podSelector": {"matchLabels": {"app": "backend"}}}
    of_production = {"matchLabels": {"kubernetes.io/metadata.name": "production"}}
    dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    dns_ports = [{"protocol": "TCP", "port": "dns-tcp"}, {"protocol": "UDP", "port": "dns"}]
    both = {"policyTypes": ["Ingress", "Egress"]}
    assert found == {
        "frontend": {
            **frontend,
            **both,
            "ingress": [
                {
                    "from": [{"ipBlock": {"cidr": "203.0.113.7/32"}}],
                    "ports": [{"protocol": "TCP", "port": "http"}],
                }
            ],
            "egress": [
                {"to": [dns], "ports": dns_ports},
                {"to": [backend], "ports": [{"protocol": "TCP", "port": "api"}]},
            ],
        },
        "backend": {
            **backend,
            **both,
            "ingress": [{"from": [frontend], "ports": [{"protocol": "TCP", "port": "api"}]}],
            "egress": [],
        },
        "kube-dns": {
            "podSelector": dns["podSelector"],
            **both,
            "ingress": [
                {"from": [{"namespaceSelector": of_production, **frontend}], "ports": dns_ports}
            ],
            "egress": [],
        },
    }
    assert "# from production/frontend, TCP/8080: 2 records, as of production/frontend-1 -> " in (
        outcome.stdout
    )
    assert "3 NetworkPolicies: 4 of 4 different flows are admitted\n" in outcome.stderr
    assert "admitted besides: production/frontend -> kube-system/kube-dns: TCP 53\n" in (
        outcome.stderr
    )
    assert (
        "no policy for groups of which no flow was seen: other/client, production/database\n"
        in outcome.stderr
    )


def test_order_and_repetition_of_records_change_counts_alone(tmp_path: Path) -> None:
    rows = [flow(FRONTEND, BACKEND, 8080), flow(OUTSIDE, FRONTEND, 80)]
    rows += [flow(BACKEND, DATABASE, 5432)]
    first = invoke("recommend", log(tmp_path, *rows), *PODS).stdout
    assert invoke("recommend", log(tmp_path, *rows[::-1]), *PODS).stdout == first
    twice = invoke("recommend", log(tmp_path, *rows, *rows), *PODS).stdout
    assert twice.replace("2 records", "1 record") == first


def test_nobody_needs_a_rule_for_what_is_never_judged(tmp_path: Path) -> None:
    """Of its own node and itself no; of another node by its address."""
    _, found = recommended(
        tmp_path,
        flow(NODE_A, BACKEND, 8080),
        flow(BACKEND, BACKEND, 8080),
        flow(NODE_B, BACKEND, 8080),
    )
    assert found["backend"]["ingress"] == [
        {
            "from": [{"ipBlock": {"cidr": "192.168.0.11/32"}}],
            "ports": [{"protocol": "TCP", "port": "api"}],
        }
    ]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    """Dropped, replies, probable replies, denied today, ICMP."""
    rows = (
        flow(CLIENT, DATABASE, 5432, rest="dropped,,false"),
        flow(CLIENT, BACKEND, 8080),
        flow(BACKEND, FRONTEND, 40001, rest="forwarded,,true"),
        f"{DATABASE},{CLIENT},tcp,50000,5432,forwarded,,",
        f"{FRONTEND},{CLIENT},icmp,,,forwarded,,false",
        flow(FRONTEND, BACKEND, 8080),
    )
    outcome, found = recommended(tmp_path, *rows, extra=("--policies", str(EXAMPLE)))
    assert set(found) == {"backend", "frontend"}
    for reason in (
        "1 records: the log says that they were dropped",
        "2 records: policies deny them today (--denied admits them)",
        "1 records: replies, which their connections admit",
        "1 records: taken for replies, which the log does not tell",
    ):
        assert f"left out: {reason}\n" in outcome.stderr
    assert outcome.code == 0
    outcome, found = recommended(tmp_path, *rows, extra=("--policies", str(EXAMPLE), "--denied"))
    assert outcome.code == 1, "ICMP has no rule"
    assert "left out: 1 records: of protocols without ports" in outcome.stderr
    assert set(found) == {"backend", "client", "frontend"}
    outcome, found = recommended(
        tmp_path, *rows, extra=("--policies", str(EXAMPLE), "--denied", "--icmp")
    )
    assert outcome.code == 0
    (rule,) = found["client"]["ingress"]
    assert "ports" not in rule


def test_the_address_of_a_service_stands_for_its_pods(tmp_path: Path) -> None:
    service = tmp_path / "service.yaml"
    service.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: db, namespace: production}\n"
        "spec:\n  clusterIP: 10.96.0.7\n  selector: {app: database}\n"
        "  ports: [{port: 15432, targetPort: postgresql}]\n"
    )
    rows = flow(BACKEND, "10.96.0.7", 15432), flow(BACKEND, "10.96.0.7", 1)
    outcome, found = recommended(tmp_path, *rows, extra=(*PODS, f"--policies={service}"))
    assert found["backend"]["egress"] == [
        {
            "to": [{"podSelector": {"matchLabels": {"app": "database"}}}],
            "ports": [{"protocol": "TCP", "port": "postgresql"}],
        }
    ]
    assert "left out: 1 records: to a Service that leads to no pod" in outcome.stderr


def test_one_direction_alone(tmp_path: Path) -> None:
    extra = (*PODS, "--direction", "ingress")
    _, found = recommended(tmp_path, flow(FRONTEND, BACKEND, 8080), extra=extra)
    assert set(found) == {"backend"}
    assert found["backend"]["policyTypes"] == ["Ingress"]


def test_strangers_are_few_blocks(tmp_path: Path) -> None:
    rows = [flow(f"203.0.113.{last}", FRONTEND, 80) for last in (1, 2, 3, 200)]
    outcome, found = recommended(tmp_path, *rows, extra=(*PODS, "--max-cidrs", "2"))
    (rule,) = found["frontend"]["ingress"]
    assert rule["from"] == [
        {"ipBlock": {"cidr": "203.0.113.0/30"}},
        {"ipBlock": {"cidr": "203.0.113.200/32"}},
    ]
    assert "1 addresses that were not seen\n" in outcome.stderr


def test_a_merge_is_a_patch_that_means_what_is_recommended(tmp_path: Path) -> None:
    policies = tmp_path / "policies.yaml"
    policies.write_text((EXAMPLE / "policies.yaml").read_text())
    rows = (
        flow(FRONTEND, BACKEND, 8080),
        flow(OUTSIDE, FRONTEND, 80),
        flow(FRONTEND, DNS, 53, "udp"),
    )
    path = log(tmp_path, *rows)
    outcome = invoke("recommend", path, *PODS, f"--policies={policies}", "--merge")
    assert outcome.code == 0
    assert "-    - from: [] # all sources\n" in outcome.stdout
    assert " # Three-tier" not in outcome.stdout, "comments around stay"
    patch = ["patch", "-p0", "--directory", str(tmp_path)]
    text = outcome.stdout.replace(str(policies), "policies.yaml")
    subprocess.run(patch, input=text, text=True, check=True, capture_output=True)
    assert "# Database: allow only from the backend\n" in policies.read_text()
    assert (tmp_path / "recommended.yaml").read_text().count("kind: NetworkPolicy") == 1
    after = (*PODS, f"--policies={policies}", f"--policies={tmp_path / 'recommended.yaml'}")
    assert invoke("audit", path, *after).code == 0
    again = invoke("recommend", path, *after, "--merge")
    assert (again.code, again.stdout) == (0, ""), "nothing is left to be merged"


def test_a_policy_that_cannot_be_edited_is_told_and_left(tmp_path: Path) -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "b", "namespace": "production"},
        "spec": {"podSelector": {"matchLabels": {"app": "backend"}}},
    }
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(policy))
    rows = log(tmp_path, flow(FRONTEND, BACKEND, 8080))
    outcome = invoke("recommend", rows, *PODS, f"--policies={path}", "--merge", "--denied")
    assert outcome.code == 1
    assert "production/backend: not merged: " in outcome.stderr
    assert "not admitted, by policies that stay: production/frontend-1 -> production/backend-1" in (
        outcome.stderr
    )


def test_pods_that_others_labels_hold_are_told_apart(tmp_path: Path) -> None:
    """The labels of one are among those of the other, and one has none at all."""
    pods = tmp_path / "pods.yaml"
    pods.write_text(
        "".join(
            f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, namespace: a, "
            f"labels: {json.dumps(labels)}}}\n"
            f"status: {{podIP: {address}, podIPs: [{{ip: {address}}}]}}\n"
            for name, address, labels in (
                ("web", "10.0.0.1", {"app": "web"}),
                ("canary", "10.0.0.2", {"app": "web", "track": "canary"}),
                ("bare", "10.0.0.3", {}),
            )
        )
    )
    rows = flow("10.0.0.3", "10.0.0.1", 80), flow("10.0.0.2", "10.0.0.1", 80)
    outcome, found = recommended(tmp_path, *rows, extra=(f"--policies={pods}",))
    assert outcome.code == 0
    selectors = [own["podSelector"] for own in found.values()]
    assert selectors == [
        {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]},
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "track", "operator": "DoesNotExist"}],
        },
        {"matchLabels": {"track": "canary"}},
    ]
    assert "nothing else is admitted between groups of pods\n" in outcome.stderr


def test_usage(tmp_path: Path) -> None:
    rows = log(tmp_path, flow(FRONTEND, BACKEND, 8080))
    assert invoke("recommend", rows, *PODS, "--merge", "-o", "json").code == 2
    assert invoke("recommend", rows, *PODS, "--max-cidrs", "0").code == 2
    outcome = invoke("recommend", rows, *PODS, "-o", "json")
    document = json.loads(outcome.stdout)
    assert (document["flows"], document["denied"], document["besides"]) == (1, [], [])
    assert [own["metadata"]["name"] for own in document["policies"]] == ["backend", "frontend"]


SNAPSHOT = netpolc.load([str(EXAMPLE)])
BARE = replace(SNAPSHOT, policies=())
ENDS = [
    format_address(address)
    for pod in SNAPSHOT.cluster.pods
    for address in pod.addresses
    if address < 1 << 32
] + [OUTSIDE, "198.51.100.9", NODE_B]


@st.composite
def records(draw: st.DrawFn) -> Record:
    """A request between IPv4 ends; one of them is a pod."""
    src = draw(st.sampled_from(ENDS))
    dst = draw(st.sampled_from(ENDS[: -3 if src in ENDS[-3:] else None]))
    protocol = draw(st.sampled_from([6, 17]))
    port = draw(st.sampled_from([53, 80, 81, 82, 5432, 8080]))
    return Record(src=src, dst=dst, protocol=protocol, port=port, is_reply=False)


@given(st.lists(records(), min_size=1, max_size=25), st.integers(1, 3))
@settings(max_examples=60)
def test_the_semantics_admit_every_flow_and_the_list_has_the_rest(
    given_records: list[Record], most: int
) -> None:
    """Each flow, and one on a port of its own that no record has, asked of the slow semantics."""
    program = netpolc.compile(BARE)
    audit, seen = Audit(program), Observation(program)
    for batch in batches(given_records):
        found_batch = audit.add(batch)
        assert found_batch is not None
        seen.add(batch, found_batch.by_row())
    found = recommend(BARE, seen, Wishes(max_cidrs=most))
    assert found.proof.denied == ()
    after = netpolc.compile(replace(BARE, policies=read_back(found.text)))
    observed = set()
    for record in given_records:
        assert record.src is not None
        assert record.dst is not None
        assert record.protocol is not None
        ends = record.src, record.dst
        assert netpolc.evaluate(after, netpolc.Flow(*ends, record.protocol, record.port)).allowed
        observed.add((*ends, record.protocol, record.port))
    groups = {
        format_address(address): str(found.groups[pod.key])
        for pod in SNAPSHOT.cluster.pods
        for address in pod.addresses
    }
    told = {(own.source, own.destination) for own in found.proof.besides}
    pairs = {(groups.get(src, ""), groups.get(dst, "")) for src, dst, *_ in observed}
    policied = {str(policy.group) for policy in found.policies}
    for src in ENDS:
        for dst in ENDS:
            ours = groups.get(src), groups.get(dst)
            if None in ours or src == dst or (groups[src], groups[dst]) in pairs:
                continue
            verdict = netpolc.evaluate(after, netpolc.Flow(src, dst, 6, 9))
            if verdict.allowed and policied & {groups[src], groups[dst]}:
                assert (groups[src], groups[dst]) in told


@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=40), st.integers(1, 6))
def test_blocks_hold_every_address_and_are_no_more_than_asked(
    addresses: list[int], most: int
) -> None:
    blocks = as_cidrs([(own, own) for own in addresses], most)
    assert len(blocks) <= most
    assert all(any(first <= own <= last for first, last in blocks) for own in addresses)
    for first, last in blocks:
        length = 32 - (last - first).bit_length()
        assert parse_cidr(f"{format_address(first)}/{length}") == (first, last), "no host bits"
    assert all(one[1] < other[0] for one, other in pairwise(blocks))


def test_exact_blocks_come_first() -> None:
    """256 neighbours are one block, and nothing is widened while there is room."""
    first = parse_cidr("203.0.113.0/24")[0]
    every = [(first + own, first + own) for own in range(256)]
    assert as_cidrs(every, 1) == ((first, first + 255),)
    assert as_cidrs([*every, (7, 7)], 2) == ((7, 7), (first, first + 255))


def test_nothing_is_recommended_for_a_log_of_another_cluster(tmp_path: Path) -> None:
    rows = log(tmp_path, flow("198.51.100.1", "198.51.100.2", 80))
    outcome = invoke("recommend", rows, *PODS)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "no end is a pod of the snapshot" in outcome.stderr


def test_a_cut_log_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{HEADER}\n{flow(FRONTEND, BACKEND, 8080)}\n{FRONTEND},10.2")
    target = tmp_path / "out.yaml"
    outcome = invoke("recommend", str(path), *PODS, "--file", str(target))
    assert (outcome.code, target.exists()) == (2, False)
    assert f"{path}:3: " in outcome.stderr
