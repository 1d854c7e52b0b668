"""What a digest is made of: objects by name, elements in no order, rules in theirs.

In: objects written by hand and drawn sets of elements. Out: digests that are equal or not; a digest
that was changed element by element is the one made anew.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netpolc.backends.nft.model import FlowMark, MarkFlow
from netpolc.backends.nft.objects import MarkingRule, Written
from netpolc.backends.nft.write import digest
from netpolc.backends.nft.write.digest import Members, digest_of
from netpolc.core.nets import format_address

MASK, GENERATION = 0xFFF00000, 0x38C00000
OPTIONS = "hook=forward priority=-5 deny=drop log=off established=recheck mark=0xfff00000"
SET = Written("set", "s", ("typeof ip saddr",), 16, ("10.0.0.1", "10.0.0.2"))
CHAIN = Written("chain", "i", rules=("ip saddr @s accept", "drop"), refers=frozenset({"set s"}))
COUNTER = Written("counter", "drop_i", comment="a/b")
TABLE = (SET, CHAIN, COUNTER)

addresses = st.integers(10 << 24, (10 << 24) + 1023).map(format_address) | st.integers(
    1 << 128, (1 << 128) + 8191
).map(format_address)
"""A few of which end a piece, so that pieces are parted and joined."""


@pytest.mark.parametrize(
    "other",
    [
        replace(SET, size=32),
        replace(SET, size=None),
        replace(SET, name="t"),
        replace(SET, kind="map"),
        replace(SET, head=("typeof ip6 saddr",)),
        replace(SET, head=("typeof ip saddr", "counter")),
        replace(SET, elements=("10.0.0.1",)),
        replace(SET, elements=()),
        replace(SET, elements=("10.0.0.1", "10.0.0.2", "10.0.0.2")),
    ],
)
def test_whatever_a_set_is_counts(other: Written) -> None:
    assert digest_of((other, CHAIN, COUNTER)) != digest_of(TABLE)


def test_rules_have_an_order_and_objects_and_elements_have_none() -> None:
    assert digest_of((CHAIN, COUNTER, replace(SET, elements=SET.elements[::-1]))) == digest_of(
        TABLE
    )
    assert digest_of((SET, replace(CHAIN, rules=CHAIN.rules[::-1]), COUNTER)) != digest_of(TABLE)


def test_elements_of_one_set_are_not_those_of_another() -> None:
    first, second = SET, replace(SET, name="t", elements=("10.0.0.3",))
    moved = replace(SET, elements=("10.0.0.1",)), replace(second, elements=("10.0.0.2", "10.0.0.3"))
    assert digest_of((first, second)) != digest_of(moved)


def rechecked(value: int, noted: int, mask: int = MASK) -> tuple[Written, ...]:
    """A table that notes one generation and whose rules have another, or the same."""
    compared = MarkingRule(("ct state established", FlowMark(mask, value), "accept"))
    return (
        Written("counter", "meta_options", comment=OPTIONS),
        Written("counter", "meta_generation", comment=f"{noted:#x}"),
        Written("chain", "forward", rules=(compared, MarkingRule((MarkFlow(mask, value),)))),
    )


def test_a_generation_that_is_noted_is_no_part() -> None:
    other = 0x12300000
    assert digest_of(rechecked(GENERATION, GENERATION)) == digest_of(rechecked(other, other))
    assert digest_of(rechecked(GENERATION, other)) != digest_of(rechecked(other, other))
    narrow = 0xFF000000
    assert digest_of(rechecked(GENERATION, GENERATION, narrow)) != digest_of(
        rechecked(other, other, narrow)
    )


def test_words_in_quotes_are_no_mark() -> None:
    """A comment that says what a rule would is somebody's words, whatever is noted."""
    said = f'accept comment "ct mark & 0x{MASK:08x} == 0x{GENERATION:08x}"'
    noted = rechecked(GENERATION, GENERATION)
    tables = ((*noted, Written("chain", "x", rules=(own,))) for own in (said, said + " "))
    marked = (*rechecked(0x12300000, 0x12300000), Written("chain", "x", rules=(said,)))
    first, second = map(digest_of, tables)
    assert first == digest_of(marked)
    assert first != second


@pytest.mark.parametrize(
    ("note", "value"),
    [
        ("0x38c00000", GENERATION),
        ("0x1", 1),
        ("", 0),
        ("0x", 0),
        ("0x0", 0),
        ("0x01", 0),
        ("0x38C00000", 0),
        ("38c00000", 0),
        ("0x1_0", 0),
        ("0x138c00000", 0),
        (" 0x1", 0),
    ],
)
def test_a_generation_is_noted_in_one_way(note: str, value: int) -> None:
    assert digest.generation(note) == value


@given(st.sets(addresses, max_size=60), st.sets(addresses, max_size=60))
def test_a_digest_changed_by_elements_is_the_one_made_anew(old: set[str], new: set[str]) -> None:
    members = Members(old)
    members.edit(old - new, new - old)
    assert members.digest() == Members(new).digest()
    assert (members.digest() == Members(old).digest()) is (old == new)


@given(st.sets(addresses, min_size=1, max_size=60), st.data())
def test_one_element_changes_its_piece(elements: set[str], data: st.DataObject) -> None:
    """What is hashed for it does not grow with the set: two pieces at most, and one over all."""
    gone = data.draw(st.sampled_from(sorted(elements)))
    members = Members(elements)
    hashed: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(digest, "_of", _noting(digest._of, hashed))
        members.edit([gone], [])
    assert len(hashed) <= 2
    assert members.digest() == Members(elements - {gone}).digest()


def _noting(of: Callable[[str], bytes], hashed: list[str]) -> Callable[[str], bytes]:
    def noted(piece: str) -> bytes:
        hashed.append(piece)
        return of(piece)

    return noted


def test_large_sets_are_in_pieces() -> None:
    elements = [format_address((10 << 24) + number) for number in range(20_000)]
    assert 20 < len(Members(elements)._pieces) < 200
