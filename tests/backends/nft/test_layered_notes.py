"""Notes that share what they have in common are what a dictionary of them would be.

In: some notes, and what each of two moments changes of them. Out: the same addresses, counts and
transactions as without anything shared.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netpolc.backends.nft.write.owners import Layered, Noted, Shared
from netpolc.core.nets import IPV6

ADDRESSES = st.sampled_from([*range(1, 9), *range(IPV6 + 1, IPV6 + 5)])
NOTE = st.sampled_from([f"{letter * 16} -" for letter in "abc"])
CHANGES = st.dictionaries(ADDRESSES, NOTE | st.none())


def plain(base: dict[int, str], own: dict[int, str | None]) -> dict[int, str]:
    found = {**base, **own}
    return {address: note for address, note in found.items() if note is not None}


@given(st.dictionaries(ADDRESSES, NOTE), CHANGES, CHANGES)
def test_what_is_shared_makes_no_difference(
    base: dict[int, str], one: dict[int, str | None], other: dict[int, str | None]
) -> None:
    shared = Shared(base)
    before, after = Layered(shared, one), Layered(shared, other)
    expected = plain(base, one), plain(base, other)
    for layered, wanted in zip((before, after), expected, strict=True):
        assert dict(layered) == layered.plain() == wanted
        assert len(layered) == len(wanted)
        assert all((at in layered) is (at in wanted) for at in (*base, *one, *other))
    mixed = Noted(expected[0]).delta("netpolc", Noted(after))
    made = Noted(before).delta("netpolc", Noted(after))
    wanted_delta = Noted(expected[0]).delta("netpolc", Noted(expected[1]))
    for found in (made, mixed):
        assert sorted(found.text.split()) == sorted(wanted_delta.text.split())


@given(st.dictionaries(ADDRESSES, NOTE), CHANGES, st.dictionaries(ADDRESSES, NOTE))
def test_more_notes_take_the_place_of_others(
    base: dict[int, str], own: dict[int, str | None], more: dict[int, str]
) -> None:
    wanted = {**plain(base, own), **more}
    assert dict(Layered.over(Layered(Shared(base), own), more)) == wanted
    assert dict(Layered.over(plain(base, own), more)) == wanted
