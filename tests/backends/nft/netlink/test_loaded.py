"""Tables that netpolc loads over netlink, beside the same ones that nft loaded from their text.

In: rulesets of scenarios, in two namespaces. Out: `nft list` and `nft -j list` say the same of
both; each is read back as the objects that were written; what is refused is named, and changes
nothing.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import entities, writing
from netpolc.backends.nft.netlink import expressions as ex
from netpolc.backends.nft.netlink.attributes import each_attribute, packed, zero_ended
from netpolc.backends.nft.netlink.elements import write_elements
from netpolc.backends.nft.netlink.replacement import (
    Replacement,
    loaded_counts,
    refusal,
    replace_table,
)
from netpolc.backends.nft.netlink.wire import Message, Refused, Wire
from netpolc.backends.nft.objects import index
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.backends.nft.write.digest import digest_of
from netpolc.core.errors import SystemRefusal
from netpolc.core.nets import Family
from tests.backends.nft.netlink.tables import INPUTS, OPTIONS, replacement, ruleset
from tests.helpers.lab import Router

pytestmark = pytest.mark.kernel
LIST = ("list", "table", "inet", "netpolc")


@pytest.fixture
def other() -> Iterator[Router]:
    with Router() as router:
        yield router


def in_json(router: Router) -> list[Any]:
    """Without numbers of objects, which depend on what was made before."""
    entries = json.loads(router.run("nft", "-j", *LIST))["nftables"]
    for entry in entries:
        for own in entry.values():
            own.pop("handle", None)
            if isinstance(own.get("elem"), list):
                own["elem"].sort(key=str)
    return sorted(entries, key=str)


def in_order(text: str) -> str:
    """A listing with the elements of each set in one order: that of a hash is the kernel's."""
    found, listed = [], ""
    for line in text.split("\n"):
        opening, _, rest = line.partition("elements = { ")
        if rest or listed:
            listed += (rest or line).strip() + " "
            if listed.endswith("} "):
                found.append(opening + ", ".join(sorted(listed[:-2].strip().split(", "))))
                listed = ""
        else:
            found.append(line)
    return "\n".join(found)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", INPUTS)
def test_nft_lists_the_same_whoever_loaded_it(
    name: str, options: str, router: Router, other: Router
) -> None:
    own = ruleset(INPUTS[name], OPTIONS[options])
    router.load(own.text())
    with other.call(Wire) as wire:
        replace_table(wire, replacement(own))
    ours, theirs = (in_order(each.run("nft", *LIST)) for each in (other, router))
    assert ours == theirs
    assert in_json(other) == in_json(router)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", INPUTS)
def test_it_is_read_back_as_it_was_written(
    name: str, options: str, router: Router, other: Router
) -> None:
    """By whomever it was loaded; and as nft's own listing says it."""
    own = ruleset(INPUTS[name], OPTIONS[options])
    router.load(own.text())
    with other.call(Wire) as wire:
        replace_table(wire, replacement(own))
    written = {key: unordered(entry) for key, entry in own.objects.items()}
    for each in (router, other):
        tables = each.call(lambda: LoadedTables(Generation()))
        found = tables.objects("netpolc")
        assert found is not None
        assert {key: unordered(entry) for key, entry in index(found).items()} == written
        assert digest_of(found) == own.digest
        reader = TableReader(each.call(Channel))
        walked, other_words = (reader.walked("netpolc", by_nft=own) for own in (False, True))
        assert walked is not None
        assert other_words is not None
        assert walked.content() == other_words.content()
        listed = each.run("nft", "-s", "-y", *LIST)
        assert digest_of(parse_listing(listed, "netpolc")) == own.digest


def unordered(entry: Any) -> Any:
    return structs.replace(entry, elements=tuple(sorted(entry.elements)))


def test_an_element_that_is_refused_is_named_and_the_old_table_stays(router: Router) -> None:
    own = ruleset(INPUTS["three-tier"], OPTIONS["plain"])
    wrong = model.NetworkSet("c4_x", Family.IPV4, ((1, 9), (5, 7), (8, 20)))
    with router.call(Wire) as wire:
        replace_table(wire, replacement(own))
        before = router.run("nft", *LIST)
        with pytest.raises(SystemRefusal) as refusal:
            replace_table(wire, Replacement("netpolc", (wrong,)))
    words = "the kernel refused: set c4_x: File exists: element 0x"
    assert str(refusal.value).startswith(words)
    assert router.run("nft", *LIST) == before


@pytest.mark.parametrize(
    ("chains", "words"),
    [
        (
            [model.Chain("a", (model.Rule((), (model.Verdict(model.Action.JUMP, "b"),), "x"),))],
            r"a rule of chain a \(x\): No such file or directory",
        ),
        (
            [model.Chain("a", (model.Rule((), (model.Count("c"),), "y"),))],
            r"a rule of chain a \(y\): No such file or directory",
        ),
        ([model.Chain("a" * 300, ())], r"chain a+: "),
    ],
    ids=["chain", "counter", "name"],
)
def test_a_refusal_names_the_object(chains: list[model.Chain], words: str, router: Router) -> None:
    with router.call(Wire) as wire, pytest.raises(SystemRefusal, match=words):
        replace_table(wire, Replacement("netpolc", tuple(chains)))
    assert "netpolc" not in router.run("nft", "list", "tables")


def test_a_kernel_without_an_expression_is_told_which(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one without `fib`: here the kernel is asked for an expression that none has."""
    monkeypatch.setitem(ex.LAYOUTS, ex.Fib, ("nofib", ex.LAYOUTS[ex.Fib][1]))
    local = model.Rule((model.LocalSource(),), (model.ACCEPT,), "from this host")
    counted = model.Rule((), (model.ACCEPT,), "before")
    chain = model.Chain("a", (counted, local))
    ex._written.cache_clear()
    words = r"this kernel has no expression nofib: a rule of chain a \(from this host\)"
    with router.call(Wire) as wire, pytest.raises(SystemRefusal, match=words):
        replace_table(wire, Replacement("netpolc", (chain,)))
    ex._written.cache_clear()
    assert router.ruleset() == ""


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        (entities.NEW_TABLE, errno.EOPNOTSUPP, "this kernel has no nf_tables of family inet: it: "),
        (entities.NEW_SET, errno.EOPNOTSUPP, "this kernel has no sets of this kind: it: "),
        (entities.NEW_SET, errno.ENOENT, "the kernel refused: it: "),
        (entities.NEW_RULE, errno.ENOENT, "the kernel refused: it: "),
    ],
)
def test_what_a_kernel_lacks_is_told(kind: int, code: int, words: str) -> None:
    refused = Refused(code, "", Message(kind, 0, b"", "it"), None)
    assert str(refusal(refused)).startswith(words)


def test_a_set_that_is_full_is_refused_by_its_element(router: Router) -> None:
    own = model.AddressSet("s4_x", Family.IPV4, ("10.0.0.1",))
    with router.call(Wire) as wire:
        replace_table(wire, Replacement("netpolc", (own,)))
        full = (entities.KernelElement(bytes((10, 1, 0, n))) for n in range(40))
        (body,) = write_elements("netpolc", "s4_x", full)
        with pytest.raises(OSError, match=r"set s4_x: Too many open files in system"):
            wire.commit([Message(entities.NEW_ELEMENTS, 0x400, body, "set s4_x")])
    assert "10.1.0.1" not in router.run("nft", *LIST)


def test_many_elements_go_in_several_messages(router: Router) -> None:
    """More than an attribute can say the length of: 64 KB."""
    addresses = tuple(f"10.{n >> 8}.{n & 255}.1" for n in range(20_000))
    own = model.AddressSet("s4_x", Family.IPV4, addresses)
    sent = Replacement("netpolc", (own,))
    assert sum(one.kind == entities.NEW_ELEMENTS for one in sent.messages()) > 5
    with router.call(Wire) as wire:
        replace_table(wire, sent)
        assert loaded_counts(wire, "netpolc") == {"set s4_x": 20_000}
    found = router.call(lambda: LoadedTables(Generation())).objects("netpolc")
    assert found is not None
    assert sorted(found[0].elements) == sorted(addresses)


def test_a_wrong_length_adds_nothing_and_is_noticed(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes a list of elements that is too short, and says nothing."""

    def nothing(table: str, name: str, keys: object) -> list[bytes]:
        return [packed(1, zero_ended(table)) + packed(2, zero_ended(name)) + packed(0x8003, b"")]

    monkeypatch.setattr(writing, "write_keys", nothing)
    own = model.AddressSet("s4_x", Family.IPV4, ("10.0.0.1",))
    words = r"is not what was sent: set s4_x has 0 where 1 was sent"
    with router.call(Wire) as wire, pytest.raises(SystemRefusal, match=words):
        replace_table(wire, Replacement("netpolc", (own,)))


FOREIGN = """
add table inet firewalld
add chain inet firewalld a
add rule inet firewalld a tcp dport 22 accept
add set inet firewalld b { type ipv4_addr; elements = { 192.0.2.1 }; }
add counter inet firewalld c
add chain inet firewalld d { type filter hook input priority 0; }
add rule inet firewalld d jump a
add table inet netpolc_b
add chain inet netpolc_b a
add set inet netpolc_b b { type ipv4_addr; elements = { 192.0.2.2 }; }
add table ip nat
"""


@pytest.mark.parametrize("hidden", ["", "add chain inet netpolc mine"])
def test_what_is_listed_counts_and_not_what_a_check_counts_meanwhile(
    hidden: str, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While `nft -c` has a deletion checked, the kernel counts fewer objects than it lists."""
    own = ruleset(INPUTS["three-tier"], OPTIONS["plain"])
    router.load(own.text())
    if hidden:
        router.run("nft", hidden)
    channel = router.call(Channel)
    record = channel.reading.record("netpolc")
    one = Wire.one

    def fewer(self: Wire, kind: int, body: bytes) -> bytes | None:
        said = one(self, kind, body)
        if said is None or kind != entities.GET_TABLE:
            return said
        use = packed(3, (4).to_bytes(4, "big"))  # NFTA_TABLE_USE
        return b"".join(use if key == 3 else packed(key, at) for key, at in each_attribute(said))

    monkeypatch.setattr(Wire, "one", fewer)
    assert channel.reading.record("netpolc") == record
    found = channel.reading.objects("netpolc")
    assert found is not None
    assert (digest_of(found) == own.digest) != bool(hidden)
    assert ("chain mine" in index(found)) == bool(hidden)


def test_no_object_of_another_table_is_read_and_no_nft_is_started(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ruleset(INPUTS["three-tier"], OPTIONS["plain"])
    router.load(own.text())
    router.load(FOREIGN)
    channel = router.call(Channel)
    monkeypatch.setattr(channel, "_nft", None)  # whoever asks libnftables fails
    seen = set()
    answers = Wire._answers

    def heard(self: Wire) -> Iterator[tuple[int, int, int, bytes]]:
        for answer in answers(self):
            if answer[0] >> 8 == 10 and answer[0] & 0xFF != 15:  # NFT_MSG_NEWGEN is of no table
                seen.add(bytes(answer[3][8:16]))
            yield answer

    monkeypatch.setattr(Wire, "_answers", heard)
    found = channel.reading.objects("netpolc")
    assert found is not None
    assert digest_of(found) == own.digest
    assert channel.reading.counters("netpolc")
    assert seen == {zero_ended("netpolc")}


@pytest.mark.parametrize(
    "change",
    [
        "insert rule inet netpolc ingress counter",
        "insert rule inet netpolc ingress meta nfproto ipv4 accept",
        "insert rule inet netpolc ingress ip saddr . tcp dport { 10.0.0.1 . 80 } accept",
        "insert rule inet netpolc ingress ip saddr != 10.0.0.1 accept",
        "insert rule inet netpolc ingress ip ttl 3 accept",
        "insert rule inet netpolc ingress tcp dport != 80 accept",
        "insert rule inet netpolc ingress limit rate over 10/second drop",
        'insert rule inet netpolc ingress log prefix "x"',
        "insert rule inet netpolc ingress meta mark 1 accept",
        "insert rule inet netpolc ingress ip daddr 10.0.0.1 counter accept",
        "flush chain inet netpolc exempt",
        "delete element inet netpolc in4 { 10.244.1.21 }",
        "add counter inet netpolc mine",
        "add quota inet netpolc mine { over 10 mbytes }",
        "add chain inet netpolc mine",
        "add chain inet netpolc mine { type filter hook input priority 0; }",
        "add set inet netpolc mine { type mark; }",
        "add set inet netpolc mine { type ipv4_addr; timeout 3s; }",
        "add table inet netpolc { flags dormant ; }",
        'add element inet netpolc in4 { 10.9.9.9 comment "x" : drop }',
    ],
)
def test_whatever_somebody_changes_is_seen(change: str, router: Router) -> None:
    own = ruleset(INPUTS["three-tier"], OPTIONS["plain"])
    with router.call(Wire) as wire:
        replace_table(wire, replacement(own))
    channel = router.call(Channel)
    tables = TableReader(channel)
    assert tables.content("netpolc") == own.digest
    router.load(change)
    assert tables.content("netpolc") != own.digest
    assert tables.content_by_nft("netpolc") != own.digest


@pytest.mark.parametrize(
    "match",
    [
        "meta l4proto ipv6-icmp",
        "meta nfproto ipv6 meta l4proto ipv6-icmp",
        "ip6 hoplimit 255 meta l4proto ipv6-icmp",
        'meta l4proto ipv6-icmp meta oifkind "bridge"',
        "meta l4proto ipv6-icmp icmpv6 type 133-137",
        "meta l4proto tcp",
        "meta nfproto ipv6",
        "ip6 hoplimit 255",
        "ct direction reply",
        "fib saddr type local",
    ],
)
def test_a_denial_that_somebody_narrowed_is_seen(match: str, router: Router) -> None:
    own = ruleset(INPUTS["three-tier"], OPTIONS["plain"])
    with router.call(Wire) as wire:
        replace_table(wire, replacement(own))
    tables = TableReader(router.call(Channel))
    assert tables.content("netpolc") == own.digest
    denial = 'counter name "drop_i_unknown" drop comment "addresses of no pod"'
    listed = router.run("nft", "-s", "-a", "list", "chain", "inet", "netpolc", "i_unknown")
    (handle,) = (line.split()[-1] for line in listed.splitlines() if denial in line)
    router.load(f"replace rule inet netpolc i_unknown handle {handle} {match} {denial}")
    assert tables.content("netpolc") != own.digest
