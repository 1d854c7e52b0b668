"""What was loaded comes back exactly, whoever put it there, and without libnftables.

In: tables of netpolc's, and with what others put into them. Out: what `nft` lists before and after
the table was replaced and brought back, by messages and by the text that is saved.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

import pytest

import netpolc as api
from netpolc.backends.nft.netlink.attributes import each_attribute, nested, packed
from netpolc.backends.nft.netlink.entities import NEW_ELEMENTS
from netpolc.backends.nft.netlink.record import TableRecord, record_from, recorded
from netpolc.backends.nft.netlink.wire import Message, Wire
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.state.saving import Saved
from netpolc.core.errors import RulesetError, SystemRefusal
from tests.helpers.lab import Router
from tests.kernel.test_commands import DENY_ALL
from tests.mutation.test_proof import layouts

pytestmark = pytest.mark.kernel
FOREIGN = {
    "nothing": "",
    "counted": "add counter inet netpolc mine { packets 7 bytes 9 ; }",
    "an anonymous set": "insert rule inet netpolc forward tcp dport { 22, 80-90, 443 } accept",
    "a map of others": "insert rule inet netpolc forward tcp dport vmap { 22 : drop, 80 : accept }",
    "a set of blocks": "add set inet netpolc mine { type ipv4_addr; flags interval; "
    "elements = { 192.0.2.0/25, 198.51.100.1 }; }",
    "a set with timeouts": "add set inet netpolc mine { type ipv4_addr; flags timeout; "
    "timeout 1h; }",
    "a quota": "add quota inet netpolc mine { over 10 mbytes }; "
    "add rule inet netpolc forward quota name mine drop",
    "a limit": "add rule inet netpolc forward limit rate over 10/second burst 7 packets drop",
    "chains": "add chain inet netpolc a; add chain inet netpolc b { type filter hook input "
    "priority 7; policy drop; }; add rule inet netpolc b jump a; "
    "add rule inet netpolc a ct state established,related counter packets 3 bytes 4 accept",
    "a dormant table": "add table inet netpolc { flags dormant ; }",
}
TABLE = """
table inet netpolc {
  set few { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2, 192.0.2.3 }; }
  chain forward { type filter hook forward priority 5; ip saddr @few accept; counter drop; }
}
"""


@pytest.mark.parametrize("what", FOREIGN)
def test_a_table_comes_back_as_it_was_whoever_filled_it(
    what: str, router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = api.compile(api.load_objects(layouts()))
    kernel = router.call(Kernel)
    kernel.load(program.ruleset(None, api.Options(log="7/minute", deny="reject")))
    if FOREIGN[what]:
        router.run("nft", FOREIGN[what])
    before = router.ruleset()
    saved = kernel.saved("netpolc")
    other = api.compile(api.load([DENY_ALL])).ruleset()
    with monkeypatch.context() as patch:
        patch.setattr(kernel._channel, "_nft", None)  # whoever asks libnftables fails
        for _ in range(2):
            kernel.load(other)
            assert router.ruleset() != before
            kernel.restore(saved)
            assert router.ruleset() == before
    kernel.load(other)
    router.load(saved.text)
    assert router.ruleset() == before


def test_a_comment_that_netpolc_would_not_write_is_saved(router: Router) -> None:
    router.load('table inet netpolc {\n\tcomment "it\'s mine"\n\tchain mine { accept; }\n}\n')
    before = router.ruleset()
    assert "it's mine" in before
    kernel = router.call(Kernel)
    saved = kernel.saved("netpolc")
    other = api.compile(api.load([DENY_ALL])).ruleset()
    kernel.load(other)
    kernel.restore(saved)
    assert router.ruleset() == before
    kernel.load(other)
    router.load(saved.text)
    assert router.ruleset() == before


def test_a_chain_without_a_name_comes_back_with_one(router: Router) -> None:
    kernel = router.call(Kernel)
    kernel.load(api.compile(api.load([DENY_ALL])).ruleset())
    router.run("nft", "insert rule inet netpolc forward tcp dport 22 jump { accept; }")
    saved = kernel.saved("netpolc")
    router.flush()
    kernel.restore(saved)
    assert re.search(r"tcp dport 22 jump __chain\d+\n", router.ruleset())
    assert re.search(r"chain __chain\d+ \{\n\t\taccept\n", router.ruleset())


def test_where_there_was_nothing_there_is_nothing_again(router: Router) -> None:
    kernel = router.call(Kernel)
    saved = kernel.saved("netpolc")
    kernel.load(api.compile(api.load([DENY_ALL])).ruleset())
    kernel.restore(saved)
    assert router.ruleset() == ""
    kernel.restore(saved)
    assert router.ruleset() == ""


def test_a_record_goes_to_another_process_whole_or_not_at_all(router: Router) -> None:
    router.call(Kernel).load(api.compile(api.load([DENY_ALL])).ruleset())
    with router.call(Wire) as wire:
        record = recorded(wire, "netpolc")
    data = record.to_bytes()
    assert record_from("netpolc", data) == record
    assert record.parts
    for end in (1, 7, len(data) - 1):
        with pytest.raises(RulesetError, match="a record of a table is"):
            record_from("netpolc", data[:end])


@pytest.mark.parametrize("what", FOREIGN)
def test_what_is_brought_back_is_what_is_counted(what: str, router: Router) -> None:
    added = FOREIGN[what].count(" rule inet netpolc forward ")
    router.run("nft", TABLE)
    if FOREIGN[what]:
        router.run("nft", FOREIGN[what])
    with router.call(Wire) as wire:
        record = recorded(wire, "netpolc")
        found = record.counts()
        assert found["table inet netpolc"] == 0
        assert found["a rule of chain forward"] == 2 + added
        assert found["set few"] == 3
        router.load("add element inet netpolc few { 192.0.2.9 }; add chain inet netpolc more")
        other = recorded(wire, "netpolc").counts()
        assert {own for own in {*found, *other} if found.get(own) != other.get(own)} == {
            "set few",
            "chain more",
        }


def test_a_table_that_comes_back_with_less_is_refused(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes a list of elements that is too short, and says nothing."""
    router.run("nft", TABLE)
    kernel = router.call(Kernel)
    saved = Saved(kernel.tables.saved("netpolc").record, "")
    messages = TableRecord.messages

    def fewer(own: TableRecord, without: Collection[str] = ()) -> Iterator[Message]:
        for one in messages(own, without):
            empty = one.kind == NEW_ELEMENTS
            kept = (packed(kind, said) for kind, said in each_attribute(one.body) if kind != 3)
            yield replace(one, body=b"".join(kept) + nested(3)) if empty else one

    monkeypatch.setattr(TableRecord, "messages", fewer)
    with pytest.raises(SystemRefusal, match="is not what was sent: set few has 0 where 3 was sent"):
        kernel.restore(saved)
