"""What an audit says: verdicts of both ends, replies, names, changes, rules in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.core.nets import format_address
from netpolc.flows.audit import Audit
from netpolc.flows.judging import RecordJudge, RecordOutcome
from netpolc.flows.schema import SCHEMA, Record, batches
from tests.cli.invocation import Outcome, invoke
from tests.helpers.scenarios import ROOT

EXAMPLE = ROOT / "examples" / "three-tier"
POLICIES = ("--policies", str(EXAMPLE))
PROGRAM = netpolc.compile(netpolc.load([str(EXAMPLE)]))
FRONTEND, BACKEND, DATABASE = "10.244.1.11", "10.244.1.21", "10.244.1.31"
CLIENT, OUTSIDE = "10.244.1.61", "203.0.113.7"
HEADER = "src,dst,protocol,port,src_port,verdict,direction,is_reply"


def log(folder: Path, *rows: str, header: str = HEADER) -> str:
    path = folder / "log.csv"
    path.write_text("".join(f"{row}\n" for row in (header, *rows)))
    return str(path)


def audit(*arguments: str) -> tuple[Outcome, dict[str, Any]]:
    outcome = invoke("audit", *arguments, "-o", "json")
    return outcome, json.loads(outcome.stdout)


def test_a_denial_at_the_other_end_is_no_contradiction(tmp_path: Path) -> None:
    """The client may leave, the backend lets nobody but the frontend in."""
    path = log(
        tmp_path,
        f"{CLIENT},{BACKEND},tcp,8080,40000,forwarded,egress,false",
        f"{CLIENT},{BACKEND},tcp,8080,40000,dropped,ingress,false",
    )
    outcome, found = audit(path, *POLICIES)
    assert outcome.code == 0
    assert [(row["policies"], row["seen_at"], row["finding"]) for row in found["flows"]] == [
        ("deny", "destination", None),
        ("deny at the other end", "source", None),
    ]
    path = log(tmp_path, f"{CLIENT},{BACKEND},tcp,8080,40000,forwarded,ingress,false")
    outcome, found = audit(path, *POLICIES)
    assert outcome.code == 1
    assert found["flows"][0]["finding"] == "denied, yet forwarded"
    path = log(tmp_path, f"{CLIENT},{BACKEND},tcp,8080,40000,forwarded,,false")
    assert audit(path, *POLICIES)[0].code == 1, "nobody says that it was seen before the backend"


def test_replies_are_counted_and_not_judged(tmp_path: Path) -> None:
    path = log(tmp_path, f"{BACKEND},{FRONTEND},tcp,40000,8080,forwarded,,true")
    outcome, found = audit(path, *POLICIES)
    assert (outcome.code, found["flows"]) == (0, [])
    assert found["outcomes"]["replies"] == 1


def test_what_may_be_a_reply_is_neither_denied_nor_allowed(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        f"{BACKEND},{FRONTEND},tcp,40000,8080,forwarded,,",
        f"{BACKEND},{FRONTEND},tcp,40000,8081,forwarded,,",
    )
    outcome, found = audit(path, *POLICIES)
    assert outcome.code == 1
    assert [(row["policies"], row["records"]) for row in found["flows"]] == [
        ("deny", 1),
        ("deny, unless a reply", 1),
    ]


def test_names_are_believed_before_addresses(tmp_path: Path) -> None:
    """A pod that is gone is not whoever has its address today."""
    header = "src,src_pod,dst,dst_pod,protocol,port"
    path = log(
        tmp_path,
        "other/client,,production/backend-1,,tcp,8080",
        f"{FRONTEND},production/frontend-9,{BACKEND},,tcp,8080",
        f"192.0.2.1,production/frontend-1,{BACKEND},production/backend-1,tcp,8080",
        ",,10.244.1.21,,tcp,8080",
        header=header,
    )
    outcome, found = audit(path, *POLICIES)
    assert outcome.code == 1, "two records are not judged"
    ends = [(row["source"], row["policies"]) for row in found["flows"]]
    assert ends == [("other/client[Pod]", "deny"), ("production/frontend-1[Pod]", "allow")]
    assert found["not_judged"] == {
        "a pod that is not in the snapshot": 1,
        "the log names neither address nor pod of an end": 1,
    }


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"{FRONTEND},{BACKEND},,8080,,,,", "no protocol"),
        (f"{FRONTEND},{BACKEND},tcp,,,,,", "no port"),
        (f"{FRONTEND},fd00:10:244:1::21,tcp,8080,,,,", "ends of two address families"),
        (
            f"10.0.0.256,{BACKEND},tcp,8080,,,,",
            "address '10.0.0.256': must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        ),
    ],
)
def test_what_is_no_flow_says_why(row: str, problem: str, tmp_path: Path) -> None:
    path = log(tmp_path, row, f"{FRONTEND},{BACKEND},tcp,8080,,,,")
    outcome, found = audit(path, *POLICIES)
    assert (outcome.code, found["not_judged"]) == (1, {problem: 1})
    assert found["outcomes"]["allowed"] == 1


DUAL_STACK: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "a", "labels": {"app": name}},
        "spec": {"containers": [{}]},
        "status": {"podIPs": [{"ip": f"10.0.0.{number}"}, {"ip": f"fd00::{number}"}]},
    }
    for number, name in enumerate(("web", "db"), start=1)
]
ONLY_WEB = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "web", "namespace": "a"},
    "spec": {
        "podSelector": {},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}],
    },
}


def dual_stack(folder: Path) -> tuple[str, str]:
    """The policies of two pods with two addresses each: everybody is reached from web alone."""
    path = folder / "cluster.json"
    path.write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": [*DUAL_STACK, ONLY_WEB]})
    )
    return "--policies", str(path)


@pytest.mark.parametrize("ends", ["a/web,a/db", "a/web,10.0.0.2", "fd00::2,a/web"])
def test_a_pod_of_two_addresses_without_a_port_is_not_judged(ends: str, tmp_path: Path) -> None:
    path = log(tmp_path, f"{ends},tcp,,,,,", "a/web,a/db,tcp,80,1,,,false")
    outcome, found = audit(path, *dual_stack(tmp_path))
    assert (outcome.code, found["not_judged"]) == (1, {"no port": 1})
    assert found["outcomes"]["allowed"] == 1


@pytest.mark.parametrize("ends", ["a/db,a/web", "a/db,fd00::1", "10.0.0.2,a/web", "fd00::2,a/web"])
def test_a_pod_of_two_addresses_may_reply(ends: str, tmp_path: Path) -> None:
    """Whichever of its addresses the flow is between, and not where the log has no port for it."""
    path = log(tmp_path, f"{ends},tcp,40000,80,forwarded,,", f"{ends},tcp,40000,,forwarded,,")
    _, found = audit(path, *dual_stack(tmp_path))
    assert sorted(row["policies"] for row in found["flows"]) == ["deny", "deny, unless a reply"]


def test_against_a_change(tmp_path: Path) -> None:
    """examples/proposed.yaml misspells a label: the backends may no longer reach the database."""
    path = log(
        tmp_path,
        f"{BACKEND},{DATABASE},tcp,5432,40000,forwarded,,false",
        f"{BACKEND},{DATABASE},tcp,5432,40001,dropped,,false",
        f"203.0.113.9,{DATABASE},tcp,5432,40002,dropped,,false",
        f"203.0.113.9,{DATABASE},tcp,5432,40002,,,false",
        f"{FRONTEND},{BACKEND},tcp,8080,40002,forwarded,,false",
    )
    common = [f"--with={EXAMPLE / name}.yaml" for name in ("pods", "namespaces")]
    old, new = str(EXAMPLE / "policies.yaml"), str(ROOT / "examples" / "proposed.yaml")
    outcome, found = audit(path, "--policies", old, "--against", new, *common)
    assert outcome.code == 1
    assert [(row["change"], row["source"], row["records"]) for row in found["flows"]] == [
        ("cut", "production/backend-1[Pod]", 1),
        ("opened", "outside", 1),
    ]
    because = found["flows"][0]["because"]
    assert because
    assert all("proposed.yaml" in reason for reason in because)
    path = log(tmp_path, f"{FRONTEND},{BACKEND},tcp,8080,40002,forwarded,,false")
    outcome, found = audit(path, "--policies", old, "--against", new, *common)
    assert (outcome.code, found["flows"]) == (0, [])


def test_denied_says_by_which_policy(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        f"{CLIENT},{BACKEND},tcp,8080,40000,dropped,,false",
        f"{FRONTEND},{BACKEND},tcp,8080,40002,forwarded,,false",
    )
    outcome = invoke("audit", path, *POLICIES, "--denied")
    assert outcome.code == 1
    (row,) = outcome.stdout.splitlines()[1:]
    assert "other/client[Pod]" in row
    assert "ingress denied production/backend-1: isolated, and no rule accepts" in row
    assert "production/backend-policy at " in row
    path = log(tmp_path, f"{FRONTEND},{BACKEND},tcp,8080,40002,forwarded,,false")
    outcome = invoke("audit", path, *POLICIES, "--denied")
    assert (outcome.code, outcome.stdout) == (0, "")


def test_unused_rules(tmp_path: Path) -> None:
    """The frontends' DNS and the database's own policy are used by nothing in the log; a reply
    stands for the connection that it answers.
    """
    rows = [
        f"{OUTSIDE},{FRONTEND},tcp,80,40000,forwarded,,false",
        f"{BACKEND},{FRONTEND},tcp,40000,8080,forwarded,,true",
    ]
    outcome = invoke("audit", log(tmp_path, *rows), *POLICIES, "--unused", "-o", "csv")
    assert outcome.code == 1
    found = [line.split(",")[:2] for line in outcome.stdout.splitlines()[1:]]
    assert found == [
        ["production/frontend-policy", "egress[1]"],
        ["production/backend-policy", "egress[0]"],
        ["production/database-policy", ""],
    ]
    rows += [
        f"{FRONTEND},10.244.1.53,udp,53,40000,forwarded,,false",
        f"{BACKEND},{DATABASE},tcp,5432,40000,forwarded,,false",
    ]
    outcome = invoke("audit", log(tmp_path, *rows), *POLICIES, "--unused")
    assert (outcome.code, outcome.stdout) == (0, "")


def test_a_span_of_time(tmp_path: Path) -> None:
    rows = [f"{time},{FRONTEND},{BACKEND},tcp,8080" for time in (100, 200, 300)]
    path = log(tmp_path, *rows, header="ts,src,dst,protocol,port")
    since = "--since", "1970-01-01T00:03:20Z"
    outcome, found = audit(path, *POLICIES, *since, "--until", "300")
    assert outcome.code == 0
    assert (found["flows"][0]["records"], found["outside_span"]) == (1, 2)
    assert (found["flows"][0]["first"], found["last"]) == (
        "1970-01-01T00:03:20Z",
        "1970-01-01T00:05:00Z",
    )
    path = log(
        tmp_path, *rows, f",{FRONTEND},{BACKEND},tcp,8080", header="ts,src,dst,protocol,port"
    )
    outcome, found = audit(path, *POLICIES, *since)
    assert found["not_judged"] == {"no time, where a span of time is asked for": 1}
    assert outcome.code == 1


def test_the_table_has_the_top_and_says_so(tmp_path: Path) -> None:
    rows = [f"{OUTSIDE},{FRONTEND},tcp,{port},1,dropped,,false" for port in range(1000, 1030)]
    rows.append(f"{OUTSIDE},{FRONTEND},tcp,1007,1,dropped,,false")
    outcome = invoke("audit", log(tmp_path, *rows), *POLICIES, "--top", "3")
    assert len(outcome.stdout.splitlines()) == 4
    assert "TCP/1007" in outcome.stdout.splitlines()[1], "the most records first"
    assert "27 more rows (--top, or -o json)\n" in outcome.stderr


def test_sums_are_exact_whatever_a_log_counts(tmp_path: Path) -> None:
    most = 2**63 - 1
    rows = [f"{FRONTEND},{BACKEND},tcp,8080,{number},{most}" for number in (most, 1, 2)]
    path = log(tmp_path, *rows, header="src,dst,protocol,port,packets,bytes")
    (row,) = audit(path, *POLICIES)[1]["flows"]
    assert (row["records"], row["packets"], row["bytes"]) == (3, most + 3, 3 * most)


def test_more_ports_than_can_be_told_apart_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = range(1000, 2000)  # all of them denied
    monkeypatch.setattr("netpolc.flows.audit.MOST_GROUPS", 5)
    found = Audit(PROGRAM)
    for batch in batches(
        (Record(src=OUTSIDE, dst=FRONTEND, protocol=6, port=port) for port in ports), 64
    ):
        found.add(batch)
    groups = found.groups()
    assert sum(group.records for group in groups) == 1000
    (summed,) = [group for group in groups if group.is_summed]
    assert summed.records == 1000 - sum(own.records for own in groups if not own.is_summed)
    assert len(groups) <= 7


ADDRESSES = [format_address(own) for own in PROGRAM.pods_by_address]
ADDRESSES += [OUTSIDE, "2001:db8::7", "10.64.0.1"]
ENDS = st.sampled_from(ADDRESSES)
PORTS = st.sampled_from([53, 80, 443, 5432, 8080, 40_000])


@st.composite
def requests(draw: st.DrawFn) -> Record:
    """A record between two addresses of one family, known to be no reply."""
    src = draw(ENDS)
    dst = draw(ENDS.filter(lambda own: (":" in own) == (":" in src)))
    protocol = draw(st.sampled_from([6, 17, 132, 1]))
    port = None if protocol == 1 else draw(PORTS)
    side = draw(st.sampled_from([None, "egress", "ingress"]))
    verdict = draw(st.sampled_from([None, "forwarded", "dropped"]))
    return Record(
        src=src, dst=dst, protocol=protocol, port=port, direction=side, verdict=verdict,
        is_reply=False,
    )  # fmt: skip


@given(st.lists(requests(), min_size=1, max_size=20))
def test_outcomes_are_those_of_the_semantics(records: list[Record]) -> None:
    """The slow semantics, asked for both ends of each record, is the truth."""
    (batch,) = batches(records)
    found = RecordJudge(PROGRAM).judged(batch)
    for record, outcome in zip(records, found.outcomes.tolist(), strict=True):
        assert record.src is not None
        assert record.dst is not None
        assert record.protocol is not None
        flow = netpolc.Flow(record.src, record.dst, record.protocol, record.port)
        verdict = netpolc.evaluate(PROGRAM, flow)
        sides = {"egress": verdict.egress, "ingress": verdict.ingress}
        wanted = RecordOutcome.ALLOW if verdict.allowed else RecordOutcome.DENY
        if not verdict.allowed and record.verdict == "forwarded" and record.direction:
            here = sides[record.direction]
            wanted = RecordOutcome.FAR if here.allowed else wanted
        pods = PROGRAM.pods_by_address
        if flow.source not in pods and flow.destination not in pods:
            wanted = RecordOutcome.NO_POD
        assert outcome == wanted, record


@given(st.lists(requests(), min_size=1, max_size=40), st.integers(1, 7))
def test_sums_do_not_depend_on_batches(records: list[Record], rows: int) -> None:
    found = []
    for size in (rows, len(records)):
        audit = Audit(PROGRAM)
        for batch in batches(records, size):
            assert batch.schema == SCHEMA
            audit.add(batch)
        found.append((audit.groups(), audit.totals))
    assert found[0] == found[1]
