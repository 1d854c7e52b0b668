"""Elements that are one key, and texts of addresses, against the reader of single elements and the
standard library.

In: elements as netpolc and others write them. Out: the same keys and comments; what has more than
that is left to the slow reader.
"""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.backends.nft.netlink._netlink import by_type, each_attribute, ipv4_texts
from netpolc.backends.nft.netlink.attributes import nested, packed
from netpolc.backends.nft.netlink.elements import columns, read_elements, write_elements
from netpolc.backends.nft.netlink.entities import KernelElement
from netpolc.backends.nft.netlink.expressions import KernelVerdict
from netpolc.core.errors import RulesetError

KEYS = st.binary(min_size=4, max_size=4)


@given(st.lists(st.tuples(KEYS, st.text("abc -", max_size=40)), min_size=1, max_size=50))
def test_comments_of_any_length_are_read_at_once(noted: list[tuple[bytes, str]]) -> None:
    elements = [KernelElement(key, comment=said) for key, said in noted]
    (body,) = write_elements("netpolc", "s4_x", elements)
    said = [comment for _, comment in noted]
    assert columns(body, 4) == ([key for key, _ in noted], said if any(said) else [])


@pytest.mark.parametrize(
    "odd",
    [
        KernelElement(b"abcd", end=b"abce"),
        KernelElement(b"abcd", verdict=KernelVerdict(1)),
        KernelElement(b"abcd", end=b"abce", comment="x"),
    ],
)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_element_with_more_is_not_passed_over(odd: KernelElement, at: int) -> None:
    elements = [KernelElement(b"aaaa"), KernelElement(b"bbbb", comment="said")]
    elements.insert(at, odd)
    (body,) = write_elements("netpolc", "s4_x", elements)
    assert columns(body, 4) is None
    assert read_elements(body, 4) == elements


def element(*after: bytes) -> bytes:
    """A message with one element of the key `abcd` and what stands behind that."""
    return nested(3, nested(1, nested(1, packed(1, b"abcd")), *after))


@pytest.mark.parametrize(
    "after",
    [
        packed(3, (1).to_bytes(4, "big")),  # flags
        packed(4, bytes(8)),  # a timeout
        packed(6, b""),  # user data of nothing
        packed(6, b"\0\2ab"),  # a comment without its end: nobody writes it so
        packed(6, b"\1\2a\0"),  # user data, and no comment
        packed(6, b"\0\2a\0\1\1z"),  # a comment, and more
        packed(6, b"\0\5a\0"),  # a comment that is longer than what holds it
        packed(6, b"\0\2a\0") + packed(4, bytes(8)),
    ],
    ids=["flags", "timeout", "empty", "no end", "kind", "more", "cut", "timeout behind"],
)
def test_what_stands_behind_a_key_is_read_slowly_unless_it_is_a_comment(after: bytes) -> None:
    found = columns(element(after), 4)
    if after == packed(6, b"\0\2ab"):
        assert found == ([b"abcd"], ["ab"])
        assert [own.comment for own in read_elements(element(after), 4)] == ["ab"]
    else:
        assert found is None


def test_keys_of_another_length_are_read_slowly_and_refused() -> None:
    assert columns(element(), 8) is None
    with pytest.raises(RulesetError, match="a key of 4 bytes where one has 8"):
        read_elements(element(), 8)


@pytest.mark.parametrize("size", [*range(16), *range(17, 23)])
def test_an_element_that_ends_in_the_middle_is_read_slowly(size: int) -> None:
    """Also to its last byte, behind which there is no memory to look at (`make asan`)."""
    head = bytes((size, 0, 1, 0)) + packed(1, packed(1, b"abcd"))
    body = (head + bytes((6, 0, 6, 0, 0, 1)))[: max(size, len(head))]
    assert columns(packed(3, body), 4) is None


@given(st.lists(KEYS, max_size=60))
def test_addresses_are_those_of_the_standard_library_sorted(keys: list[bytes]) -> None:
    assert ipv4_texts(keys) == tuple(sorted(str(IPv4Address(key)) for key in keys))


def test_every_octet_stands_in_its_place() -> None:
    keys = [bytes((own, 9, 255 - own, own)) for own in range(256)]
    assert ipv4_texts(keys) == tuple(sorted(str(IPv4Address(key)) for key in keys))
    with pytest.raises(ValueError, match="an address of 3 bytes"):
        ipv4_texts([b"abc"])
    with pytest.raises(ValueError, match="an address of 0 bytes"):
        ipv4_texts([None])  # type: ignore[list-item]


def test_attributes_are_taken_apart_to_the_last_byte() -> None:
    content = packed(1, b"a") + packed(0x8002, b"bcde") + packed(1, b"")
    assert each_attribute(content) == [(1, b"a"), (2, b"bcde"), (1, b"")]
    assert by_type(content) == {1: b"", 2: b"bcde"}
    for read in (each_attribute, by_type):
        with pytest.raises(RulesetError, match="netlink: 3 bytes after the last attribute"):
            read(content + b"abc")
        with pytest.raises(RulesetError, match="an attribute of 9 bytes where 8 are left"):
            read(content + b"\x09\0\1\0abcd")
        with pytest.raises(RulesetError, match="an attribute of 3 bytes where 4 are left"):
            read(content + b"\x03\0\1\0")
