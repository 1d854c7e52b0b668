"""What a delta says, word by word, for small changes; whether the kernel agrees is asked in
tests/kernel/test_update.py and tests/property/test_delta.py.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

import netpolc
from netpolc.backends.nft.lower.questions import Questions
from netpolc.backends.nft.model import AddressSet
from netpolc.backends.nft.objects import Written, index
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.write.delta import delta
from netpolc.core.errors import RulesetError
from netpolc.core.program import InvariantError
from netpolc.passes import resolve
from tests.helpers.manifests import Manifest, namespace, pod, policy

SET = Written("set", "s", ("type ipv4_addr",), 16, ("10.0.0.1", "10.0.0.2"))
BLOCKS = Written(
    "set", "c", ("type ipv4_addr . inet_proto", "flags interval"), elements=("10.0.0.0/8",)
)
MAP = Written(
    "map",
    "m",
    ("type ipv4_addr : verdict",),
    16,
    ("10.0.0.9 : goto old",),
    refers=frozenset({"chain old"}),
)
JUDGE = Written(
    "chain",
    "old",
    rules=("ip saddr @s accept", "ip saddr @c accept", "drop"),
    refers=frozenset({"set s", "set c"}),
)
BASE = Written("chain", "forward", ("type filter hook forward priority -5; policy accept;",))
TABLE = index([SET, BLOCKS, MAP, JUDGE, BASE])


def text(*changed: Written, without: str = "") -> str:
    """The delta from `TABLE` to the same table with other objects in it."""
    new = {key: entry for key, entry in TABLE.items() if key != without}
    found = delta("t", TABLE, new | index(changed))
    assert found is not None
    return found.text


def test_equal_tables_need_nothing() -> None:
    assert text() == ""
    assert text(replace(SET, elements=SET.elements[::-1])) == ""


def test_members_are_added_and_deleted() -> None:
    assert text(replace(SET, elements=("10.0.0.2", "10.0.0.3", "10.0.0.4"))) == (
        "delete element inet t s { 10.0.0.1 }\nadd element inet t s { 10.0.0.3, 10.0.0.4 }\n"
    )


def test_an_interval_set_is_made_anew_with_the_rules_that_use_it() -> None:
    changed = replace(BLOCKS, elements=("10.0.0.0/9",))
    assert text(changed) == (
        "flush chain inet t old\n"
        "delete set inet t c\n"
        f"table inet t {{\n{changed.block()}{JUDGE.block()}}}\n"
    )


def test_a_set_of_another_size_is_made_anew() -> None:
    changed = replace(SET, size=32)
    assert text(changed).startswith("flush chain inet t old\ndelete set inet t s\n")


def test_a_set_that_could_not_hold_those_that_leave_and_those_that_come_is_made_anew() -> None:
    """Until the commit both are in it: 2 and 15 are more than 16."""
    many = tuple(f"10.0.1.{number}" for number in range(15))
    assert "delete set inet t s\n" in text(replace(SET, elements=many))
    assert "delete set" not in text(replace(SET, elements=many[:14]))


def test_a_chain_goes_after_everything_that_leads_to_it() -> None:
    new = Written("chain", "new", rules=("accept",))
    assert text(new, replace(MAP, elements=("10.0.0.9 : goto new",)), without="chain old") == (
        "flush chain inet t old\n"
        "delete element inet t m { 10.0.0.9 : goto old }\n"
        "delete chain inet t old\n"
        f"table inet t {{\n{new.block()}}}\n"
        "add element inet t m { 10.0.0.9 : goto new }\n"
    )


def test_a_base_chain_never_moves() -> None:
    moved = replace(BASE, head=("type filter hook forward priority -6; policy accept;",))
    assert delta("t", TABLE, TABLE | index([moved])) is None


LISTING = """table inet t {
\tcomment "netpolc"
\tcounter drop_i {
\t\tcomment "x/y"
\t}

\tset s {
\t\ttype ipv4_addr
\t\tsize 16
\t\telements = { 10.0.0.1, 10.0.0.2,
\t\t\t     10.0.0.3 }
\t}

\tchain i {
\t\tip saddr @s accept comment "x/y ingress[0]"
\t\tcounter name "drop_i" drop comment "x/y"
\t}
}
"""


def test_a_listing_is_read_as_it_was_written() -> None:
    assert parse_listing(LISTING, "t") == [
        Written("counter", "drop_i", comment="x/y"),
        Written("set", "s", ("type ipv4_addr",), 16, ("10.0.0.1", "10.0.0.2", "10.0.0.3")),
        Written(
            "chain",
            "i",
            rules=(
                'ip saddr @s accept comment "x/y ingress[0]"',
                'counter name drop_i drop comment "x/y"',
            ),
            refers=frozenset({"set s", "counter drop_i"}),
        ),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("table inet t {", "table inet other {"),
        ('\tcomment "netpolc"\n', "\tflags dormant\n"),
        ("\tset s {", "\tflowtable s {"),
        ("\t}\n}\n", ""),
        ("10.0.0.1, ", ", "),
        ("10.0.0.1, ", "10.0.0.1, , "),
        ("10.0.0.1, ", "}, "),
        ("10.0.0.1, ", "10.0.0.1 {, "),
    ],
)
def test_what_netpolc_never_makes_is_refused(old: str, new: str) -> None:
    with pytest.raises(RulesetError):
        parse_listing(LISTING.replace(old, new), "t")


def test_only_what_separates_words_is_no_word() -> None:
    """A line separator of Unicode ends no line of nft's; what holds one is not the same element."""
    own = parse_listing(LISTING.replace("10.0.0.1,", "10.0.0.1\u2028,"), "t")
    assert own[1].elements == ("10.0.0.1\u2028", "10.0.0.2", "10.0.0.3")


# Names

CLIENTS: list[Manifest] = [
    namespace("x"),
    pod("x/server", "10.0.0.1", app="server"),
    *(pod(f"x/client-{n}", f"10.0.1.{n}", app="client") for n in range(1, 6)),
    policy(
        "x/server",
        podSelector={"matchLabels": {"app": "server"}},
        ingress=[
            {"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": 80}]}
        ],
    ),
]


def names(objects: list[Manifest]) -> list[str]:
    ruleset = netpolc.compile(netpolc.load_objects(objects)).ruleset()
    return [f"{entry.kind} {entry.name}" for entry in ruleset.objects.values()]


def test_names_stay_when_pods_come_and_go() -> None:
    more = [pod(f"x/more-{n}", f"10.0.2.{n}", app="client") for n in range(1, 40)]
    assert names(CLIENTS) == names(CLIENTS[:3] + CLIENTS[4:]) == names(CLIENTS + more)


def test_names_change_with_the_question() -> None:
    other = policy(
        "x/server",
        podSelector={"matchLabels": {"app": "server"}},
        ingress=[
            {"from": [{"podSelector": {"matchLabels": {"app": "cliemt"}}}], "ports": [{"port": 80}]}
        ],
    )
    renamed = [pod(f"x/client-{n}", f"10.0.1.{n}", app="cliemt") for n in range(1, 6)]
    before, after = names(CLIENTS), names([*CLIENTS[:2], *renamed, other])
    assert len(before) == len(after)
    assert {name[:7] for name in {*before} ^ {*after}} == {"set s4_", "chain i", "counter"}


def test_one_question_has_one_answer() -> None:
    """A name that stood for two sets of pods would let the pods of one pass as the other's."""
    program = netpolc.compile(netpolc.load_objects(CLIENTS))
    (combination,) = program.combinations
    (rule,) = combination.tiers[0].rules
    server = frozenset(program.identities[number].number for number in combination.subjects)
    false = replace(rule, match=replace(rule.match, identities=server))
    run = replace(combination.tiers[0].runs[0], rules=(rule, false))
    tier = replace(combination.tiers[0], runs=(run,))
    other = replace(combination, tiers=(tier,))
    broken = dataclasses.replace(program, combinations=(other,))
    questions = Questions(broken)
    asked = questions.of(rule)
    assert asked is not None
    assert asked.members == {program.identity_of["x/client-1"]}
    with pytest.raises(InvariantError, match="asked once and answered twice"):
        questions.of(false)


def test_what_earlier_rules_leave_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy of so many names that its rules do not repeat each other's pods; another that asks
    for all of them.
    """
    monkeypatch.setattr(resolve, "MOST_PAIRS", 0)
    everybody: dict[str, Any] = {"podSelector": {}}
    clients = {"podSelector": {"matchLabels": {"app": "client"}}}
    block = {"ipBlock": {"cidr": "10.0.1.0/30"}}
    ports = [{"port": "web"}]
    objects: list[Manifest] = [namespace("x")]
    for name, address, app in (
        ("a", "10.0.0.1", "one"),
        ("b", "10.0.0.2", "two"),
        ("c", "10.0.1.1", "client"),
        ("d", "10.0.1.2", "server"),
        ("e", "10.0.1.9", "server"),
    ):
        own = pod(f"x/{name}", address, app=app)
        port = {"name": "web", "containerPort": 8080, "protocol": "TCP"}
        own["spec"]["containers"] = [{"name": "c", "image": "i", "ports": [port]}]
        objects.append(own)
    for name, peers in (("one", [[block], [clients], [everybody]]), ("two", [[everybody]])):
        egress = [{"to": own, "ports": ports} for own in peers]
        subject = {"matchLabels": {"app": name}}
        objects.append(policy(f"x/{name}", podSelector=subject, egress=egress))
        objects[-1]["spec"]["policyTypes"] = ["Egress"]
    program = netpolc.compile(netpolc.load_objects(objects))
    ruleset = program.ruleset()
    tables = ruleset.table.sets
    sets = [own.elements for own in tables if isinstance(own, AddressSet) and own.name[0] == "s"]
    everyone = ("10.0.0.1", "10.0.0.2", "10.0.1.1", "10.0.1.2", "10.0.1.9")
    assert sorted(sets) == sorted(
        [
            ("10.0.1.1", "10.0.1.2"),  # in the block
            ("10.0.1.1",),  # selectors take from selectors alone
            ("10.0.0.1", "10.0.0.2", "10.0.1.2", "10.0.1.9"),
            everyone,
        ]
    )
    proof = Proof(program, parse_text.parse(ruleset.text()), None)
    assert [str(found) for found in proof.differences()] == []
