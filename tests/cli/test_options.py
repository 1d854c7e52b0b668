"""Options of a ruleset on the command line: what each changes, and what is refused.

In: the three-tier example with every option. Out: the lines of the ruleset that follow from them.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

import netpolc
from netpolc.core.errors import UsageError
from tests.cli.invocation import invoke
from tests.cli.snapshots import EXAMPLE


def compiled(*arguments: str) -> str:
    outcome = invoke("compile", str(EXAMPLE), *arguments)
    assert (outcome.code, outcome.stderr) == (0, "")
    return outcome.stdout


def test_defaults() -> None:
    text = compiled()
    assert "\nchain" not in text
    assert "\ttype filter hook forward priority -5; policy accept;" in text
    assert "table inet netpolc {" in text
    assert "hook=forward priority=-5 deny=drop log=off" in text
    assert "log prefix" not in text
    assert "reject" not in text
    assert "fib saddr" not in text


def test_table() -> None:
    text = compiled("--table", "netpolc_lab_2")
    assert text.replace("netpolc_lab_2", "netpolc") != text
    lines = re.findall(r"^(?:delete )?table inet (\S+)", text, re.MULTILINE)
    assert lines == ["netpolc_lab_2"] * 3
    commands = json.loads(compiled("--table", "netpolc_lab_2", "-o", "json"))["nftables"]
    named = [own for one in commands for entry in one.values() for own in entry.items()]
    tables = {own["name"] if kind == "table" else own["table"] for kind, own in named}
    assert tables == {"netpolc_lab_2"}


def test_hook_and_priority() -> None:
    text = compiled("--hook", "postrouting")
    assert "type filter hook postrouting priority 95; policy accept;" in text
    assert "fib saddr type local accept" in text
    assert "priority 99;" in compiled("--hook", "postrouting", "--priority", "99")
    assert "priority -300;" in compiled("--priority", "-300")
    assert "priority 100;" in compiled("--priority", "100")


def test_deny() -> None:
    text = compiled("--deny", "reject")
    assert re.search(r"meta l4proto tcp counter name \S+ reject with tcp reset", text)
    assert re.search(r"counter name \S+ reject with icmpx admin-prohibited", text)
    # Only what would have begun a connection is answered; what else comes there is dropped.
    drops = re.findall(r"^\t\t(.*)counter name \S+ drop comment", text, re.MULTILINE)
    assert set(drops) == {"ct state invalid ", "tcp flags ack ", ""}
    after = r"ct state new counter name \S+ reject with icmpx .*\n\t\tcounter name \S+ drop comment"
    assert len(re.findall(after, text)) == drops.count("")


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ("--log", "10/second"),
        ("--log=1/day", "1/day"),
        ("--log=999999/hour", "999999/hour"),
        ("--log=5/minute", "5/minute"),
    ],
)
def test_log(given: str, rate: str) -> None:
    text = compiled(given)
    logs = re.findall(r'limit rate (\S+) .*?log prefix "([^"]*)"', text)
    assert logs
    for found, prefix in logs:
        assert found == rate
        assert re.fullmatch(r"netpolc (ingress|egress) [ie]_([0-9a-f]{16}|unknown): ", prefix)
        assert len(prefix) < 128
    drops = re.findall(r"counter name drop_(\S+) drop", text)
    assert sorted(drops) == sorted(prefix.split()[2].rstrip(":") for _, prefix in logs)


def test_pod_bridges() -> None:
    assert re.findall(r'\t"(\S+)"', compiled()) == ["cbr0", "cni0", "kube-bridge"]
    assert re.findall(r'\t"(\S+)"', compiled("--pod-bridges", "br1,br0,br1")) == ["br0", "br1"]
    none = compiled("--pod-bridges=")
    assert "ifname" not in none
    assert "ip6 daddr fe80::/10 goto i_unknown" in none


REFUSED = [
    (["--pod-bridges", "cni0,"], "pod bridge '' is no name of an interface"),
    (["--pod-bridges", "cni*"], "pod bridge 'cni*' is no name of an interface"),
    (["--pod-bridges", 'a" accept'], "is no name of an interface"),
    (["--pod-bridges", "sixteen-letters-"], "is no name of an interface"),
    (["--pod-bridges", ",".join(f"bridge-{at:08}" for at in range(8))], "too long to be noted"),
    (["--hook", "postrouting", "--deny", "reject"], "the kernel cannot reject in postrouting"),
    (["--hook", "postrouting", "--priority", "100"], "the priority must be below 100"),
    (["--hook", "postrouting", "--priority", "2147483647"], "the priority must be below 100"),
    (["--priority", "2147483648"], "is not a 32-bit number"),
    (["--priority", "-2147483649"], "is not a 32-bit number"),
    *(
        (["--table", name], f"table {name!r} is not `netpolc`")
        for name in (
            "filter", "", "netpolc_", "netpolc-lab", "Netpolc", "netpolc lab", "netpolc\n",
            "netpolc_a; flush ruleset", "netpolc_" + "a" * 49, "netpolc_ä", "kube-proxy", "ip6",
        )
    ),
    *(
        ([f"--log={rate}"], f"log rate {rate!r} is not like 10/second")
        for rate in (
            "", "10", "0/second", "10/week", "10 /second", "1000000/second",
            "10/second burst 5", '1/second" accept', "10/second\n", "١/second", "over 1/second",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize("deny", ["drop", "reject"])
def test_audit_denies_nothing_and_logs(deny: str) -> None:
    text = compiled("--audit", "--deny", deny)
    assert not re.search(r"drop comment|reject with|counter drop_", text)
    assert f"deny={deny} log=off audit=on" in text
    prefixes = re.findall(r'limit rate 10/second log prefix "netpolc audit (\w+) ([ie])_', text)
    assert sorted(prefixes) == [("egress", "e")] * 3 + [("ingress", "i")] * 4
    assert len(re.findall(r"counter name audit_[ei]_unknown return", text)) == 2
    assert len(re.findall(r"counter name audit_e_\w+ goto ingress", text)) == 2
    assert len(re.findall(r"counter name audit_i_\w+ accept", text)) == 3
    assert 'limit rate 7/minute log prefix "netpolc audit ' in compiled("--audit", "--log=7/minute")


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=lambda a: "".join(a)[:40])
@pytest.mark.parametrize("command", ["compile", "apply"])
def test_refusals(command: str, arguments: list[str], words: str) -> None:
    outcome = invoke(command, "no-such-file.yaml", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("netpolc: ")
    assert words in outcome.stderr


@pytest.mark.parametrize("name", ["filter", "", "kube-proxy", "netpolc; flush ruleset"])
@pytest.mark.parametrize("command", ["delete", "status"])
def test_other_tables_are_never_touched(command: str, name: str) -> None:
    outcome = invoke(command, "--table", name)
    assert outcome.stdout == ""
    assert outcome.code in (2, 3)  # 3 where libnftables is not installed
    if outcome.code == 2:
        assert outcome.stderr.startswith(f"netpolc: table {name!r} is not `netpolc`")


def test_the_library_refuses_the_same() -> None:
    for table, hook, deny, log in (
        ("filter", "forward", "drop", "1/day"),
        ("netpolc", "input", "drop", "1/day"),
        ("netpolc", "forward", "accept", "1/day"),
        ("netpolc", "forward", "drop", "often"),
    ):
        with pytest.raises(UsageError):
            netpolc.Options(table, hook, None, deny, log)


@pytest.mark.parametrize("mask", ["0", "0x7f", "0xff00ff", "0x1ff00000000", "-0x100", "ff"])
def test_a_mark_is_eight_bits_in_a_row_or_more(mask: str) -> None:
    words = ("compile", str(EXAMPLE), "--established", "recheck", "--ct-mark-mask", mask)
    refused = invoke(*words)
    assert refused.code == 2
    assert "mask" in refused.stderr
    assert refused.stdout == ""


def test_a_mark_without_recheck_means_nothing_and_is_refused() -> None:
    refused = invoke("compile", str(EXAMPLE), "--ct-mark-mask", "0xff")
    assert refused.code == 2
    assert "only with --established recheck" in refused.stderr


def test_options_survive_being_described() -> None:
    for options in (
        netpolc.Options(),
        netpolc.Options("netpolc_x", "postrouting", 1, "drop", "3/hour"),
        netpolc.Options(priority=-7, deny="reject"),
        netpolc.Options(log="3/hour", audit=True),
        netpolc.Options(established="recheck", audit=True),
        netpolc.Options(pod_bridges=()),
        netpolc.Options(pod_bridges=("br1", "a.100-b_c")),
        netpolc.Options(
            "netpolc_x", "postrouting", -(1 << 31), "drop", "999999/second", True, "recheck", 0xFF00
        ),
    ):
        again = netpolc.Options.from_description(
            options.table, f"{options.describe()} {options.describe_bridges()}"
        )
        assert again == replace(options, priority=options.base_priority)
        assert re.fullmatch(r"[-A-Za-z0-9 =/]{1,127}", options.describe())
        older = netpolc.Options.from_description(options.table, options.describe())
        assert older == replace(again, pod_bridges=())
    unknown = f"{netpolc.Options().describe()} audit=perhaps"
    for text in (
        "",
        unknown,
        "hook=forward",
        "hook=input priority=0 deny=drop log=off",
        "priority",
    ):
        with pytest.raises(ValueError, match="not the options"):
            netpolc.Options.from_description("netpolc", text)


def test_apply_wants_one_node() -> None:
    both = invoke("apply", str(EXAMPLE), "--node", "node-a", "--all-pods")
    assert (both.code, both.stderr) == (2, "netpolc: --all-pods and --node exclude each other\n")
    unknown = invoke("apply", str(EXAMPLE), "--node", "node-z")
    assert unknown.stderr == "netpolc: unknown node 'node-z'; known: node-a, node-b\n"
    assert unknown.code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["apply", "--confirm", "60"], "'60' is not like 60s, 5m or 1h"),
        (["apply", "--confirm", "0s"], "'0s' is not like 60s, 5m or 1h"),
        (["apply", "--confirm", "5m", "--dry-run"], "--plan and --dry-run load nothing"),
        (["apply", "--save", "f", "--dry-run"], "--plan and --dry-run load nothing"),
        (["apply", "--verify", "--dry-run"], "--plan and --dry-run load nothing"),
        (["apply", "--save", "-"], "--save needs a file"),
        (["verify", "--watch", "0"], "0.0 is not in the range"),
        (["verify", "--watch", "1", "--ruleset", "x"], "neither a --ruleset nor - can change"),
    ],
)
def test_options_around_a_load_that_make_no_sense(arguments: list[str], words: str) -> None:
    outcome = invoke(*arguments, str(EXAMPLE))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
