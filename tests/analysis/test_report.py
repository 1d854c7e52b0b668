"""The report as data and as text: what is told of each pair; no name can break the page."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import netpolc
from netpolc.analysis.connectivity import Table
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.report import comparison, report
from netpolc.analysis.report.document import (
    NO_FAMILY,
    Admitted,
    Matrix,
    ReportDocument,
    State,
    report_document,
)
from netpolc.core.nets import Protocol
from tests.helpers.manifests import Manifest, namespace, node, pod, policy


def cluster(*more: Manifest) -> list[Manifest]:
    """A web pod of both families, a database and a client of one each."""
    return [
        namespace("shop"),
        node("node-a", "192.168.0.10"),
        pod("shop/web", "10.0.0.1", "fd00::1"),
        pod("shop/db", "10.0.0.2"),
        pod("shop/six", "fd00::3"),
        *more,
    ]


FROM_WEB = {"from": [{"podSelector": {"matchLabels": {"name": "web"}}}], "ports": [{"port": 5432}]}
DB = policy("shop/db", podSelector={"matchLabels": {"name": "db"}}, ingress=[FROM_WEB])
WEB = policy(
    "shop/web",
    podSelector={"matchLabels": {"name": "web"}},
    policyTypes=["Egress"],
    egress=[{"to": [{"podSelector": {}}]}, {"ports": [{"port": 53, "protocol": "UDP"}]}],
)


def table(objects: list[Manifest]) -> Table:
    return Table(netpolc.compile(netpolc.load_objects(objects)))


def of(objects: list[Manifest]) -> ReportDocument:
    made = table(objects)
    return report_document("title", State(made.reach, made.parties))


def classes(made: ReportDocument, *names: str) -> list[int]:
    found = {member.name: member.after for member in made.parties}
    numbers = [found[f"shop/{name}[Pod]" if name.isalpha() else name] for name in names]
    assert None not in numbers
    return [number for number in numbers if number is not None]


def outcome(made: ReportDocument, source: str, destination: str) -> str:
    here, there = classes(made, source, destination)
    return made.outcomes[made.rows[made.after.outcomes[here]][there]].text


def why(
    made: ReportDocument, matrix: Matrix, way: str, version: int, subject: str, peer: str
) -> Any:
    """Ports, isolating policies, rules with what they admit; None where there is no address."""
    here, there = classes(made, subject, peer)
    number = made.rows[getattr(matrix, way)[version][here]][there]
    if number == NO_FAMILY:
        return None
    reason = made.reasons[number]
    rules = [made.causes[n] for n in reason.rules]
    return (
        reason.ports,
        [made.causes[n].policy for n in reason.isolated],
        [(cause.policy, cause.rule, cause.action, cause.ports) for cause in rules],
    )


def test_what_each_pair_has() -> None:
    made = of(cluster(DB, WEB))
    assert [member.name for member in made.parties] == [
        "shop/db[Pod]", "shop/six[Pod]", "shop/web[Pod]", "0.0.0.0/0; ::/0",
    ]  # fmt: skip
    assert [member.is_outside for member in made.parties] == [False, False, False, True]
    assert outcome(made, "web", "db") == "TCP 5432"
    assert outcome(made, "db", "web") == "all"
    assert outcome(made, "web", "six") == "all"
    assert outcome(made, "web", "0.0.0.0/0; ::/0") == "UDP 53"
    assert outcome(made, "0.0.0.0/0; ::/0", "db") == "none"
    assert outcome(made, "db", "six") == "none"


def test_both_directions_say_which_rules() -> None:
    made = of(cluster(DB, WEB))
    egress = [
        ("shop/web", "egress[0]", "accept", "all"),
        ("shop/web", "egress[1]", "accept", "UDP 53"),
    ]
    assert why(made, made.after, "egress", 4, "web", "db") == ("all", ["shop/web"], egress)
    ingress = [("shop/db", "ingress[0]", "accept", "TCP 5432")]
    assert why(made, made.after, "ingress", 4, "db", "web") == ("TCP 5432", ["shop/db"], ingress)


def test_what_is_denied_says_who_isolates() -> None:
    made = of(cluster(DB, WEB))
    assert why(made, made.after, "ingress", 4, "db", "0.0.0.0/0; ::/0") == ("none", ["shop/db"], [])
    assert why(made, made.after, "egress", 4, "0.0.0.0/0; ::/0", "db") == ("all", [], [])
    assert why(made, made.after, "egress", 6, "web", "db") is None


def test_rules_of_ordered_tiers_come_in_order_with_what_they_decide() -> None:
    """TCP 5432 is accepted before it could be denied; the NetworkPolicy is asked for the rest."""
    app = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"name": "web"}}}
    port = {"tcp": {"destinationPort": {"number": 5432}}}
    span = {"tcp": {"destinationPort": {"range": {"start": 5000, "end": 6000}}}}
    rules = [
        {"name": "sql", "action": "Accept", "from": [{"pods": app}], "protocols": [port]},
        {"action": "Deny", "from": [{"pods": app}], "protocols": [span]},
    ]
    guard = {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "guard"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "ingress": rules},
    }
    made = of(cluster(DB, guard))
    name = "ClusterNetworkPolicy/guard"
    decided = [
        (name, 'ingress[0] "sql"', "accept", "TCP 5432"),
        (name, "ingress[1]", "deny", "TCP 5000-5431,5433-6000"),
    ]
    assert why(made, made.after, "ingress", 4, "db", "web") == ("TCP 5432", ["shop/db"], decided)
    assert {own.ordered for own in made.reasons if own.isolated} == {True}


def test_a_family_is_named_where_the_two_differ() -> None:
    block = {"to": [{"ipBlock": {"cidr": "10.0.0.9/32"}}], "ports": [{"port": 80}]}
    rule = policy("shop/web", podSelector={}, policyTypes=["Egress"], egress=[block])
    made = of(cluster(rule, pod("shop/dual", "10.0.0.9", "fd00::9")))
    assert outcome(made, "web", "dual") == "TCP 80 (IPv4)"
    assert outcome(made, "db", "dual") == "TCP 80"
    assert why(made, made.after, "egress", 6, "web", "dual") == ("none", ["shop/web"], [])


def test_ports_are_numbers_that_can_be_searched() -> None:
    made = of(cluster(DB))
    spans = {known.text: known.spans for known in made.outcomes}
    assert spans["TCP 5432"] == ((Protocol.TCP << 16 | 5432, Protocol.TCP << 16 | 5432),)
    assert made.outcomes[0].text == "none"
    assert made.outcomes[0].spans == ()


def test_one_rule_with_a_named_port_of_two_numbers_is_said_once() -> None:
    named = {"ports": [{"port": "http"}]}
    web = pod("shop/two", "10.0.0.9")
    for number, target in ((8080, web), (9090, web)):
        port = {"name": "http", "containerPort": number, "protocol": "TCP"}
        container = {"name": f"c{number}", "image": "i", "ports": [port]}
        target["spec"]["containers"].append(container)
    objects = cluster(web, policy("shop/named", podSelector={}, ingress=[named]))
    made = of(objects)
    ports, isolated, rules = why(made, made.after, "ingress", 4, "two", "db")
    assert isolated == ["shop/named"]
    assert rules == [("shop/named", "ingress[0]", "accept", ports)]


def test_pods_no_rule_tells_apart_share_their_rows() -> None:
    many = [pod(f"shop/p{n}", f"10.1.0.{n}", app="same") for n in range(50)]
    made = of([namespace("shop"), *many, policy("shop/deny", podSelector={})])
    assert len(made.parties) == 51
    assert {member.after for member in made.parties} == {0, 1}
    assert all(len(row) == 2 for row in made.rows)


def compared(old: list[Manifest], new: list[Manifest]) -> Difference:
    return Difference(*(netpolc.compile(netpolc.load_objects(own)) for own in (old, new)))


def sides(difference: Difference) -> ReportDocument:
    after = State(difference.new, [pair.new for pair in difference.pairs])
    before = State(difference.old, [pair.old for pair in difference.pairs])
    return report_document("change", after, before)


def of_side(made: ReportDocument, side: str, source: str, destination: str) -> Admitted:
    matrix, members = getattr(made, side), {member.name: member for member in made.parties}
    here, there = (getattr(members[f"shop/{name}[Pod]"], side) for name in (source, destination))
    found: Admitted = made.outcomes[made.rows[matrix.outcomes[here]][there]]
    return found


def test_a_comparison_has_both_sides_and_who_was_not_there() -> None:
    made = sides(compared(cluster(DB), [*cluster(WEB), pod("shop/late", "10.0.0.4")]))
    (late,) = (member for member in made.parties if member.name == "shop/late[Pod]")
    assert late.before is None
    assert late.after is not None
    assert not late.is_outside
    assert of_side(made, "before", "web", "db").text == "TCP 5432"
    assert of_side(made, "after", "web", "db").text == "all"


def test_a_family_more_is_a_change_unless_it_is_denied() -> None:
    four, both = pod("shop/p", "10.0.0.7"), pod("shop/p", "10.0.0.7", "fd00::7")
    made = sides(compared(cluster(four), cluster(both)))
    before, after = (of_side(made, side, "web", "p") for side in ("before", "after"))
    assert (before.text, after.text) == ("all", "all")
    assert (before.admits, after.admits) == ("all (IPv4)", "all (IPv4); all (IPv6)")
    block = {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    only_four = policy("shop/four", podSelector={"matchLabels": {"name": "p"}}, ingress=[block])
    made = sides(compared(cluster(four, only_four), cluster(both, only_four)))
    before, after = (of_side(made, side, "web", "p") for side in ("before", "after"))
    assert (before.text, after.text) == ("all", "all (IPv4)")
    assert before.admits == after.admits == "all (IPv4)"


class _Reader(HTMLParser):
    """What a browser would make of the page: its elements, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = dict(attrs).get("type") or tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._inside] = self.texts.get(self._inside, "") + data


HOSTILE = (
    "</script><script>alert(1)</script>", "<!--<script>", "]]>&lt;", "\u202egnp.yaml",
    "a\nb", "\udcff",
)  # fmt: skip


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_file_name_gets_out_of_its_text(hostile: str, tmp_path: Path) -> None:
    folder = tmp_path / f"x{hostile.replace('/', os.sep)}"
    folder.mkdir(parents=True)
    (folder / "all.json").write_text(json.dumps({"kind": "List", "items": cluster(DB)}))
    made = Table(netpolc.compile(netpolc.load([str(folder / "all.json")])))
    text = report(made, f"of {hostile}")
    text.encode()
    read, plain = _Reader(text), _Reader(report(made, "of"))
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements]
    places = [cause["place"] for cause in json.loads(read.texts["application/json"])["causes"]]
    assert places
    assert all(place.startswith(str(tmp_path)) and place.isprintable() for place in places)
    assert "<" not in read.texts["application/json"]


def test_the_policy_admits_what_is_in_the_page_and_nothing_else() -> None:
    read = _Reader(report(table(cluster(DB)), "title"))
    (content,) = (
        attributes["content"]
        for tag, attributes in read.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert content is not None
    directives = dict(part.split(maxsplit=1) for part in content.split("; "))
    digests = {}
    for name in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(read.texts[name].encode()).digest()).decode()
        digests[f"{name}-src"] = f"'sha256-{digest}'"
    nothing = dict.fromkeys(("default-src", "base-uri", "form-action"), "'none'")
    assert directives == {**nothing, **digests}


def test_nothing_is_loaded_from_elsewhere() -> None:
    text = report(table(cluster(DB)), "title")
    read = _Reader(text)
    for tag, attributes in read.elements:
        assert not {"src", "srcset", "style", "onclick", "onload"} & set(attributes), tag
        assert tag not in ("link", "img", "iframe", "base", "object")
        assert (attributes.get("href") or "#").startswith("#")
    assert set(re.findall(r"https?://[^\"' )]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "innerHTML" not in text
    assert "eval(" not in text


def test_the_same_tables_give_the_same_bytes() -> None:
    assert report(table(cluster(DB)), "title") == report(table(cluster(DB)), "title")
    assert report(table(cluster(DB)), "title") != report(table(cluster(WEB)), "title")
    pages = {comparison(compared(cluster(DB), cluster(WEB)), "title") for _ in range(2)}
    assert len(pages) == 1


def test_progress_ends_where_it_said() -> None:
    told: list[tuple[int, int]] = []
    twins = [pod("shop/a", "10.0.0.8", app="twin"), pod("shop/b", "10.0.0.9", app="twin")]
    report(table(cluster(DB, *twins)), "t", lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] == len(told)
