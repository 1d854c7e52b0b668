"""The tracer walks as nft(8) says, and what netpolc does not emit is refused.

In: rulesets written by hand. Out: verdicts that follow from the manual page.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.tracer import Tracer, packet
from netpolc.core.errors import RulesetError
from netpolc.core.nets import parse_address
from tests.helpers.scenarios import everything

HEAD = "table inet netpolc\ndelete table inet netpolc\ntable inet netpolc {\n"
BASE = "\tchain forward {\n\t\ttype filter hook forward priority -5; policy %s;\n%s\t}\n}\n"


def passed(chains: str, rules: str, *, policy: str = "accept", port: int = 80) -> bool:
    """What becomes of TCP from 10.0.0.1 to 10.0.0.2."""
    lines = "".join(f'\t\t{rule} comment ""\n' for rule in rules.split("; ") if rule)
    listing = parse_text.parse(HEAD + chains + BASE % (policy, lines))
    ends = parse_address("10.0.0.1"), parse_address("10.0.0.2")
    return Tracer(listing).trace(packet(*ends, 6, port)).passed


def chain(name: str, rules: str) -> str:
    lines = "".join(f'\t\t{rule} comment ""\n' for rule in rules.split("; ") if rule)
    return f"\tchain {name} {{\n{lines}\t}}\n"


@pytest.mark.parametrize(
    ("chains", "rules", "policy", "wanted"),
    [
        ("", "", "accept", True),
        ("", "", "drop", False),
        ("", "drop; accept", "accept", False),
        ("", "tcp dport 81 accept; drop", "accept", False),
        ("", "tcp dport 79-80 accept; drop", "accept", True),
        ("", "udp dport 80 accept; drop", "accept", False),
        ("", "meta l4proto tcp accept; drop", "accept", True),
        ("", "ip saddr 10.0.0.0/31 ip daddr 10.0.0.2 accept; drop", "accept", True),
        ("", "ip6 saddr ::/0 accept; drop", "accept", False),
        ("", "ct state established,related accept; drop", "accept", False),
        ("", "icmpv6 type 133-137 accept; drop", "accept", False),
        (chain("a", ""), "jump a; drop", "accept", False),  # back after the jump
        (chain("a", ""), "goto a; drop", "accept", True),  # never back: the policy
        (chain("a", "goto b; drop") + chain("b", ""), "jump a; accept", "drop", True),
        (chain("a", "jump b; drop") + chain("b", "accept"), "jump a", "drop", True),
        (chain("a", "jump b; accept") + chain("b", "drop"), "goto a", "accept", False),
    ],
)
def test_walks_like_the_manual_says(chains: str, rules: str, policy: str, wanted: bool) -> None:
    assert passed(chains, rules, policy=policy) is wanted


PORTS = (
    "\tmap v {\n\t\ttype inet_service . inet_proto : verdict\n\t\tflags interval\n"
    "\t\telements = {\n\t\t\t80-90 . tcp : drop,\n\t\t\t95 . tcp : goto a\n\t\t}\n\t}\n"
)


def test_a_missing_key_goes_on_with_the_next_rule() -> None:
    chains = PORTS + chain("a", "drop")
    rules = "th dport . meta l4proto vmap @v; accept"
    found = [passed(chains, rules, port=port) for port in (79, 80, 90, 91, 94, 95, 96)]
    assert found == [True, False, False, True, True, False, True]


SECOND = "\tchain then_ingress {\n\t\ttype filter hook %s priority %d; policy %s;\n%s\t}\n"


@pytest.mark.parametrize(
    ("first", "second", "policies", "wanted"),
    [
        ("accept", "drop", ("drop", "accept"), False),  # accepted, and then asked again
        ("", "drop", ("accept", "accept"), False),
        ("drop", "accept", ("accept", "accept"), False),  # dropped is dropped
        ("accept", "accept", ("drop", "drop"), True),
        ("accept", "", ("drop", "drop"), False),
        ("", "accept", ("drop", "drop"), False),
    ],
)
def test_what_one_base_chain_accepts_comes_to_the_next(
    first: str, second: str, policies: tuple[str, str], wanted: bool
) -> None:
    lines = f'\t\t{second} comment ""\n' if second else ""
    later = SECOND % ("forward", -4, policies[1], lines)
    assert passed(later, first, policy=policies[0]) is wanted


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (SECOND % ("forward", -5, "accept", ""), "netpolc emits one"),
        (SECOND % ("forward", 10, "accept", ""), "does not come next"),
        (SECOND % ("postrouting", -4, "accept", ""), "does not come next"),
        (SECOND % ("forward", -6, "accept", ""), "netpolc emits one"),
        ((SECOND % ("forward", -4, "accept", "")).replace("then", "else"), "netpolc emits one"),
    ],
)
def test_base_chains_that_netpolc_does_not_emit_are_refused(second: str, words: str) -> None:
    parse_text.parse(HEAD + SECOND % ("forward", -4, "accept", "") + BASE % ("accept", ""))
    with pytest.raises(RulesetError, match=words):
        parse_text.parse(HEAD + second + BASE % ("accept", ""))


def test_a_trace_tells_how_far_ports_are_alike_and_which_rule_decided() -> None:
    lines = '\t\tth dport . meta l4proto vmap @v comment "map"\n\t\taccept comment "last"\n'
    listing = parse_text.parse(HEAD + PORTS + chain("a", "drop") + BASE % ("accept", lines))
    ends = parse_address("10.0.0.1"), parse_address("10.0.0.2")
    ports = (0, 80, 85, 91, 95)
    traces = [Tracer(listing).trace(packet(*ends, 6, port)) for port in ports]
    assert [trace.until for trace in traces[:-1]] == [79, 90, 90, 94]
    assert str(traces[0]) == 'chain forward, rule 2: "last"'
    assert str(traces[1]) == 'chain forward, rule 1: "map"'


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("accept comment", "continue comment", "netpolc emits no such statement"),
        ("accept comment", "meta mark 1 accept comment", "netpolc emits no such statement"),
        ("tcp dport 80", "tcp flags 80", "80 is no tcp_flag"),
        ("tcp dport 80", 'meta oifkind "vrf"', "'vrf' is no ifkind"),
        ("tcp dport 80", "iif 3", "'3' is no iface_index"),
        ("tcp dport 80", "tcp dport 70000", "70000 is no inet_service"),
        ("accept comment", "goto nowhere comment", "chain nowhere is not there"),
        ("accept comment", "jump forward comment", "comes back to itself"),
        ("tcp dport 80", "ip saddr @gone", "@gone is not there"),
        ("hook forward", "hook input", "netpolc emits no hook input"),
        ("type filter", "type nat", "netpolc emits no type nat"),
        ("tcp dport 80", "ip saddr 10.0.0.1/8", "is no range of ipv4_addr"),
        ("tcp dport 80", "ip saddr fd00::1", "is no ipv4_addr"),
        ("table inet netpolc {", "table inet other {", "not a transaction that replaces a table"),
        (' comment "x"', "", "no comment"),
    ],
)
def test_text_that_netpolc_does_not_emit_is_refused(old: str, new: str, words: str) -> None:
    text = HEAD + BASE % ("accept", '\t\ttcp dport 80 accept comment "x"\n')
    parse_text.parse(text)
    with pytest.raises(RulesetError, match=words):
        parse_text.parse(text.replace(old, new))


def _objects() -> list[dict[str, Any]]:
    scenario = next(s for s in everything() if s.name == "v18-ip-blocks")
    found: list[dict[str, Any]] = json.loads(scenario.program().ruleset().json())["nftables"]
    return found


def mark(key: str, value: int) -> Any:
    """A statement that sets all bits."""
    own = {"ct": {"key": "mark"}}
    return {"key": {"ct": {"key": key}}, "value": {"|": [{"&": [own, value]}, value]}}


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("table", {"flags": ["dormant"]}, "no table with flags"),
        ("set", {"timeout": 60}, "no set with timeout"),
        ("set", {"flags": ["dynamic"]}, "has flags"),
        ("map", {"map": "mark"}, "no map mark"),
        ("chain", {"hook": "forward", "type": "filter", "prio": 0, "policy": "accept"}, "base"),
        ("rule", {"expr": [{"mangle": mark("mark", 0)}]}, "marks no flow"),
        ("rule", {"expr": [{"mangle": mark("packets", 1)}]}, "no statement"),
        ("rule", {"expr": [{"tproxy": {}}]}, "no statement tproxy"),
        ("rule", {"expr": [{"accept": None}, {"drop": None}]}, "after the verdict"),
        ("rule", {"chain": "nowhere"}, "not there"),
        ("rule", {"expr": [{"counter": "nobody"}]}, "no counter nobody"),
    ],
)
def test_json_that_netpolc_does_not_emit_is_refused(
    kind: str, change: dict[str, Any], words: str
) -> None:
    objects = _objects()
    for command in objects:
        body = command.get("add", {}).get(kind)
        if body is not None:
            body.update(change)
            if kind != "table":
                break
    if kind == "table":
        objects[1]["delete"]["table"].update(change)
    with pytest.raises(RulesetError, match=words):
        parse_json.parse(json.dumps({"nftables": objects}))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"nftables": 1}', '{"nftables": [{}]}', "{"])
def test_what_is_no_ruleset_is_refused(text: str) -> None:
    for parse in (parse_json.parse, parse_text.parse):
        with pytest.raises(RulesetError):
            parse(text)


def test_another_object_is_refused() -> None:
    objects = [*_objects(), {"add": {"quota": {"family": "inet", "table": "netpolc", "name": "q"}}}]
    with pytest.raises(netpolc.NetpolcError, match="netpolc emits no quota"):
        parse_json.parse(json.dumps({"nftables": objects}))
