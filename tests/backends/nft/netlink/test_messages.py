"""Objects of the kernel as bytes: what is written is read, and whatever is read does no harm.

In: random objects, random bytes, messages with some bytes changed. Out: equal objects, or
`RulesetError`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import entities, expressions, words, writing
from netpolc.backends.nft.netlink.attributes import by_type, each_attribute, nested, packed
from netpolc.backends.nft.netlink.elements import (
    columns,
    read_elements,
    write_decided,
    write_elements,
    write_noted,
)
from netpolc.backends.nft.netlink.reading import meaning, recognition
from netpolc.backends.nft.netlink.reading.listing import ListedSet
from netpolc.backends.nft.netlink.rules import expressions as expressions_of
from netpolc.backends.nft.write.text import written
from netpolc.core.errors import RulesetError, UnsupportedError
from netpolc.core.nets import IPV6, Family, Protocol, format_address

NAMES = st.text("abcdefghij_0123456789", min_size=1, max_size=40)
COMMENTS = st.text("abc ./-:,", max_size=100)
ADDRESSES = {
    Family.IPV4: st.integers(0, (1 << 32) - 1),
    Family.IPV6: st.integers(IPV6, 2 * IPV6 - 1),
}
FAMILIES, ENDS = st.sampled_from(Family), st.sampled_from(["saddr", "daddr"])
PROTOCOLS, PORTS = st.sampled_from(Protocol), st.integers(0, 65535)
U32 = st.integers(0, (1 << 32) - 1)


def pairs(values: st.SearchStrategy[int]) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(values, values).map(lambda own: (min(own), max(own)))


SPANS = st.one_of(*(pairs(own) for own in ADDRESSES.values()))
VERDICTS = st.one_of(
    st.sampled_from([model.ACCEPT, model.DROP, model.RETURN]),
    st.builds(model.Verdict, st.sampled_from([model.Action.JUMP, model.Action.GOTO]), NAMES),
)
PORT_ENDS: st.SearchStrategy[model.PortField] = st.sampled_from(["dport", "sport"])
PORT_MATCHES = st.tuples(PROTOCOLS, pairs(PORTS), PORT_ENDS).map(
    lambda own: (
        model.PortMatch(own[0], *own[1], own[2])
        if own[1] != (0, 65535)
        else model.PortMatch(own[0], 0, 65535)
    )  # the protocol alone
)
STATES = ("invalid", "established", "related", "new", "untracked")
FLOW_MATCHES = st.one_of(
    st.sets(st.sampled_from(STATES), min_size=1).map(
        lambda own: model.ConnectionState(tuple(one for one in STATES if one in own))
    ),
    st.builds(model.FlowMark, U32, U32),
    st.builds(model.NamedLink, st.sampled_from(["iifname", "oifname"]), NAMES),
    st.sampled_from(
        [model.ReplyDirection(), model.OutOfBridge(), model.NoInterface(), model.LocalSource()]
    ),
)
STATEMENTS = st.one_of(
    VERDICTS,
    st.builds(model.Count, NAMES),
    st.builds(model.MarkFlow, U32, U32).map(
        lambda own: model.MarkFlow(own.mask, own.value & own.mask)
    ),
    st.builds(model.Log, COMMENTS.filter(bool), st.sampled_from(["10/second", "3/day"])),
    st.builds(model.PortLookup, NAMES, st.booleans(), st.sampled_from(["dport", "sport"])),
    st.just(model.Reject(False)),
)


@st.composite
def rules(draw: st.DrawFn) -> model.Rule:
    """As netpolc makes them: of one family, of one protocol."""
    version = draw(FAMILIES)
    addresses = st.one_of(
        st.builds(model.SpanMatch, ENDS, pairs(ADDRESSES[version])),
        st.builds(model.SetMatch, ENDS, st.just(version), NAMES, st.booleans()),
        st.builds(model.PairMatch, st.just(version), NAMES),
    )
    matches: list[Any] = draw(st.lists(FLOW_MATCHES, max_size=2))
    matches += draw(st.lists(PORT_MATCHES, max_size=1))
    matches += draw(st.lists(addresses, max_size=3))
    lookups = st.one_of(
        st.builds(model.AddressLookup, ENDS, st.just(version), NAMES),
        st.builds(model.NetworkLookup, ENDS, st.just(version), NAMES),
    )
    statements = draw(st.lists(st.one_of(STATEMENTS, lookups), max_size=3))
    return model.Rule(tuple(matches), tuple(statements), draw(COMMENTS))


@given(rules())
def test_a_rule_is_read_as_it_was_written(rule: model.Rule) -> None:
    own = entities.KernelRule("i_x", expressions_of(rule), rule.comment)
    found = entities.read_rule(entities.write_rule("netpolc", own))
    assert found == own
    assert recognition.recognised(found.expressions, found.comment) == rule


def sets(version: Family) -> st.SearchStrategy[Any]:
    addresses = ADDRESSES[version].map(format_address)
    several = st.lists(addresses, unique=True, max_size=12).map(tuple)
    spans = st.lists(pairs(ADDRESSES[version]), unique=True, max_size=12).map(tuple)
    own = st.just(version)
    ports = st.tuples(PROTOCOLS, pairs(PORTS)).map(
        lambda one: (one[0] << 16 | one[1][0], one[0] << 16 | one[1][1])
    )
    single = ports.map(lambda span: (span[0], span[0]))
    links = st.lists(st.text("abc0.-", min_size=1, max_size=15), unique=True).map(tuple)
    return st.one_of(
        st.builds(model.AddressSet, NAMES, own, several, st.just(False)),
        st.builds(model.NetworkSet, NAMES, own, spans),
        st.builds(model.PairSet, NAMES, own, st.lists(st.tuples(addresses, addresses)).map(tuple)),
        st.builds(model.LinkSet, NAMES, links),
        st.builds(
            model.AddressMap, NAMES, own, st.lists(st.tuples(addresses, VERDICTS)).map(tuple)
        ),
        st.builds(
            model.NetworkMap,
            NAMES,
            own,
            st.lists(st.tuples(pairs(ADDRESSES[version]), VERDICTS)).map(tuple),
        ),
        st.builds(
            model.PortMap,
            NAMES,
            st.just(True),
            st.lists(st.tuples(ports, VERDICTS), min_size=1).map(tuple),
        ),
        st.builds(
            model.PortMap, NAMES, st.just(False), st.lists(st.tuples(single, VERDICTS)).map(tuple)
        ),
    )


@given(st.one_of(*map(sets, Family)))
def test_a_set_is_read_as_it_was_written(entry: Any) -> None:
    declared = writing.kernel_set(entry)
    assert entities.read_set(entities.write_set("netpolc", declared, 1)) == declared
    keys: list[bytes] = []
    comments: list[str] = []
    elements: list[entities.KernelElement] = []
    for body in write_elements("netpolc", entry.name, writing.kernel_elements(entry)):
        once = columns(body, declared.key_length)
        slowly = read_elements(body, declared.key_length)
        if once is None:
            elements += slowly
        else:
            keys += once[0]
            comments += once[1] or [""] * len(once[0])
            assert [own.key for own in slowly] == once[0]
    found = meaning.named_set(
        ListedSet(declared, tuple(keys), tuple(comments), tuple(elements))
    ).entry
    assert type(found) is type(entry)
    for field in ("name", "family", "interval"):
        assert getattr(found, field, None) == getattr(entry, field, None)
    for field in ("elements", "spans"):  # in no order
        assert sorted(getattr(found, field, ()), key=repr) == sorted(
            getattr(entry, field, ()), key=repr
        )


def test_keys_that_are_cut_elsewhere_are_another_set() -> None:
    """The kernel compares each part of a key for itself: a range in parts of four bytes has other
    addresses than one of sixteen, with the same elements.
    """
    span = IPV6 + 0x1_0000_0005, IPV6 + 0x2_0000_0003
    entry = model.NetworkSet("blocks", Family.IPV6, (span,))
    declared = writing.kernel_set(entry)
    elements = tuple(writing.kernel_elements(entry))
    found = meaning.named_set(ListedSet(declared, (), (), elements)).entry
    assert isinstance(found, model.NetworkSet)
    assert found.spans == (span,)
    other = structs.replace(declared, fields=(4, 4, 4, 4, 1))
    with pytest.raises(RulesetError, match="set blocks has other keys"):
        meaning.named_set(ListedSet(other, (), (), elements))


@given(st.one_of(*map(sets, Family)))
def test_elements_are_understood_in_words(entry: Any) -> None:
    """A delta has them as words; those of intervals it never changes one by one."""
    elements = list(writing.kernel_elements(entry))
    said = written(entry).elements
    if writing.kernel_set(entry).flags & entities.INTERVAL:
        for one in said:
            with pytest.raises(UnsupportedError, match="not changed element by element"):
                words.element_of(entry, one)
    else:
        assert [words.element_of(entry, one) for one in said] == elements


@pytest.mark.parametrize("said", ["", "10.0.0", "10.0.0.1 : goto x", "::1::", '"a"', "tcp . 80"])
def test_other_words_are_refused(said: str) -> None:
    with pytest.raises(UnsupportedError, match="no element of s4_x: "):
        words.element_of(model.AddressSet("s4_x", Family.IPV4, ()), said)


def test_what_another_nft_notes_of_itself_is_no_comment() -> None:
    """nft 1.1.7 writes its version (1) and its build (2) behind the comment (0) of a table."""
    noted = bytes.fromhex("0008 6e6574706f6c6300 0104 01010700 0208 000000006ac73dd6")
    assert entities.read_comment(noted) == "netpolc"
    assert entities.read_comment(noted[10:]) == ""
    for cut in (1, 5, 11, 13, 20):
        with pytest.raises(RulesetError, match="user data"):
            entities.read_comment(noted[:cut])


@given(
    st.lists(
        st.tuples(st.binary(min_size=4, max_size=4), st.text("abc", min_size=3, max_size=3)),
        min_size=1,
    )
)
def test_comments_of_elements_lie_in_columns(noted: list[tuple[bytes, str]]) -> None:
    elements = [entities.KernelElement(key, comment=comment) for key, comment in noted]
    (body,) = write_elements("netpolc", "meta_pods4", elements)
    assert columns(body, 4) == ([key for key, _ in noted], [said for _, said in noted])
    assert read_elements(body, 4) == elements


@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.text("abc 0", max_size=60))))
def test_addresses_with_comments_are_written_as_other_elements(
    noted: list[tuple[bytes, str]],
) -> None:
    elements = [entities.KernelElement(key, comment=comment) for key, comment in noted]
    slowly = list(write_elements("netpolc", "meta_pods4", elements))
    assert list(write_noted("netpolc", "meta_pods4", noted)) == slowly


DECISIONS = st.builds(expressions.KernelVerdict, st.sampled_from((-5, -4, 0, 1)), NAMES)


@given(st.lists(DECISIONS, min_size=1, max_size=3), st.sampled_from((4, 16)), st.data())
def test_addresses_with_verdicts_are_written_as_other_elements(
    verdicts: list[expressions.KernelVerdict], length: int, data: st.DataObject
) -> None:
    keys = st.binary(min_size=length, max_size=length)
    decided = data.draw(st.lists(st.tuples(keys, st.sampled_from(verdicts))))
    decided *= data.draw(st.sampled_from((1, 1, 1, 1_000)))  # which are several messages
    elements = [entities.KernelElement(key, verdict=verdict) for key, verdict in decided]
    slowly = list(write_elements("netpolc", "in4", elements))
    assert list(write_decided("netpolc", "in4", decided)) == slowly


@given(st.builds(entities.KernelCounter, NAMES, COMMENTS, U32, U32))
def test_a_counter_is_read_as_it_was_written(own: entities.KernelCounter) -> None:
    assert entities.read_counter(entities.write_counter("netpolc", own)) == own


@given(st.builds(entities.KernelChain, NAMES, st.integers(0, 4), st.integers(-400, 400)))
def test_a_chain_is_read_as_it_was_written(own: entities.KernelChain) -> None:
    assert entities.read_chain(entities.write_chain("netpolc", own)) == own


READERS: dict[str, Callable[[bytes], object]] = {
    "table": entities.read_table,
    "counter": entities.read_counter,
    "chain": entities.read_chain,
    "rule": lambda own: _meant(entities.read_rule(own)),
    "set": entities.read_set,
    "elements": lambda own: read_elements(own, 4),
    "columns": lambda own: columns(own, 4),
}


def _meant(rule: entities.KernelRule) -> model.Rule:
    return recognition.recognised(rule.expressions, rule.comment)


def harmless(read: Callable[[bytes], object], data: bytes) -> None:
    """Read, or refused by name."""
    with suppress(RulesetError):
        read(data)


@pytest.mark.parametrize("reader", READERS)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(reader: str, data: bytes) -> None:
    harmless(READERS[reader], data)


ATTRIBUTES = st.recursive(
    st.tuples(st.integers(0, 20), st.binary(max_size=12)).map(lambda own: packed(*own)),
    lambda inner: st.tuples(st.integers(0, 20), st.lists(inner, max_size=5)).map(
        lambda own: nested(own[0], *own[1])
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("reader", READERS)
@given(parts=st.lists(ATTRIBUTES, max_size=8))
def test_random_attributes_are_read_or_refused(reader: str, parts: list[bytes]) -> None:
    harmless(READERS[reader], b"".join(parts))


@given(rules(), st.data())
def test_a_damaged_rule_is_read_or_refused(rule: model.Rule, data: st.DataObject) -> None:
    body = bytearray(
        entities.write_rule(
            "netpolc", entities.KernelRule("i_x", expressions_of(rule), rule.comment)
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    harmless(READERS["rule"], bytes(body))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x08\0\x01", "3 bytes after the last attribute"),
        (b"\x03\0\x01\0", "an attribute of 3 bytes"),
        (b"\x0c\0\x01\0abcd", "an attribute of 12 bytes where 8 are left"),
    ],
)
def test_attributes_fill_what_they_are_in(content: bytes, words: str) -> None:
    with pytest.raises(RulesetError, match=words):
        list(each_attribute(content))


def test_what_is_longer_than_a_length_can_say_is_refused() -> None:
    assert by_type(packed(1, bytes(65531))) == {1: bytes(65531)}
    with pytest.raises(UnsupportedError, match="a netlink attribute of 65536 bytes"):
        packed(1, bytes(65532))


@pytest.mark.parametrize("kind", expressions.LAYOUTS, ids=lambda own: expressions.LAYOUTS[own][0])
def test_an_attribute_that_no_expression_has_is_refused(kind: type) -> None:
    """A flag that a newer kernel knows can turn its meaning round."""
    name = expressions.LAYOUTS[kind][0].encode() + b"\0"
    strange = nested(1, packed(1, name), nested(2, packed(60, b"\0\0\0\1")))
    with pytest.raises(RulesetError, match="not of netpolc's making: expression"):
        expressions.read_expression(strange[4:])


def test_a_mark_of_no_generation_is_not_sent() -> None:
    rule = model.Rule((model.FlowMark(0xFFF00000, model.NO_GENERATION),), (), "x")
    with pytest.raises(UnsupportedError, match="no generation"):
        expressions_of(rule)
