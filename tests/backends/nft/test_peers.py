"""Identities by all the ports they are admitted on, against asking each of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from netpolc.backends.nft.lower.peers import Peers, Ports, groups
from netpolc.backends.nft.lower.questions import PodQuestion
from netpolc.core.ir import ANY, Origin
from netpolc.core.nets import Ranges
from tests.helpers.strategies import patient

SOURCE: Any = None
SPANS = st.tuples(st.integers(1, 30), st.integers(0, 9))
SETS = st.lists(SPANS, min_size=1, max_size=3).map(
    lambda spans: Ranges.of((first, first + more) for first, more in spans)
)
MEMBERS = st.lists(st.frozensets(st.integers(0, 7), min_size=1), max_size=3, unique=True)


@patient(300)
@given(st.dictionaries(SETS, MEMBERS, max_size=6), MEMBERS)
def test_groups(selected: dict[Ranges, list[frozenset[int]]], always: list[frozenset[int]]) -> None:
    classes: dict[Ports, Peers] = {}
    everything: list[tuple[Ports, list[frozenset[int]]]] = [*selected.items(), (ANY, always)]
    for number, (ports, sets) in enumerate(everything):
        classes[ports] = Peers()
        for place, members in enumerate(sets):
            origin = Origin("NetworkPolicy", "a", f"p{number}", ("spec", place), SOURCE)
            asked = PodQuestion(f"{number} {place}", None, members)
            classes[ports].asked[asked] = [origin]
    expected: dict[tuple[Ports, ...], list[int]] = {}
    for identity in range(8):
        own = tuple(ports for ports, sets in everything if any(identity in m for m in sets))
        if own:
            expected.setdefault(own, []).append(identity)
    found = groups(classes)
    assert [group.members for group in found] == [frozenset(own) for own in expected.values()]
    for group, several in zip(found, expected, strict=True):
        named = [own for own in several if own is not ANY]
        assert group.several == several
        assert group.ports == (ANY if ANY in several else Ranges.union(named))
        assert group.origins == [
            origin
            for ports in several
            for asked, origins in classes[ports].asked.items()
            if asked.members & group.members
            for origin in origins
        ]
