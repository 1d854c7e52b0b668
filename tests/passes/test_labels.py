"""The label index against the plain reading of a selector, and that against the API's words.

In: drawn label maps and selectors. Out: the same members, however the question is put.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.core.ir import SELECT_ALL, Operator, Requirement, Selector
from netpolc.core.labels import LabelIndex, selects

keys = st.sampled_from(["app", "tier", "example.com/team", ""])
values = st.sampled_from(["", "web", "db", "cache"])
labels = st.dictionaries(keys, values, max_size=4)
requirements = st.builds(
    lambda key, operator, some: Requirement(
        key, operator, some if operator in (Operator.IN, Operator.NOT_IN) else frozenset()
    ),
    keys,
    st.sampled_from(Operator),
    st.frozensets(values, max_size=3),
)
selectors = st.frozensets(requirements, max_size=4).map(Selector)


@given(st.lists(labels, max_size=12), selectors, st.data())
def test_the_index_finds_what_the_selector_matches(
    maps: list[dict[str, str]], selector: Selector, data: st.DataObject
) -> None:
    index = LabelIndex(own.items() for own in maps)
    wanted = {number for number, own in enumerate(maps) if selects(selector, own)}
    assert index.matching(selector) == wanted
    within = frozenset(data.draw(st.sets(st.sampled_from(range(len(maps))))) if maps else ())
    assert index.matching(selector, within) == wanted & within
    assert index.everyone == frozenset(range(len(maps)))


@given(labels, selectors)
def test_requirements_are_anded(own: dict[str, str], selector: Selector) -> None:
    each = [selects(Selector(frozenset((one,))), own) for one in selector.requirements]
    assert selects(selector, own) is all(each)


@given(labels, keys, st.frozensets(values))
def test_negations(own: dict[str, str], key: str, some: frozenset[str]) -> None:
    for operator, opposite in (
        (Operator.IN, Operator.NOT_IN),
        (Operator.EXISTS, Operator.DOES_NOT_EXIST),
    ):
        one = Selector(frozenset((Requirement(key, operator, some),)))
        other = Selector(frozenset((Requirement(key, opposite, some),)))
        assert selects(one, own) is not selects(other, own)


@pytest.mark.parametrize(
    ("operator", "some", "absent", "empty", "web", "db"),
    [
        (Operator.IN, ["web"], False, False, True, False),
        (Operator.IN, ["web", ""], False, True, True, False),
        (Operator.NOT_IN, ["web"], True, True, False, True),
        (Operator.NOT_IN, ["", "db"], True, False, True, False),
        (Operator.EXISTS, [], False, True, True, True),
        (Operator.DOES_NOT_EXIST, [], True, False, False, False),
    ],
)
def test_operators_by_hand(
    operator: Operator, some: list[str], absent: bool, empty: bool, web: bool, db: bool
) -> None:
    selector = Selector(frozenset((Requirement("app", operator, frozenset(some)),)))
    maps: list[dict[str, str]] = [{}, {"app": ""}, {"app": "web"}, {"app": "db"}]
    assert [selects(selector, own) for own in maps] == [absent, empty, web, db]


def test_no_requirement_selects_everything() -> None:
    assert selects(SELECT_ALL, {})
    assert LabelIndex([[], [("app", "web")]]).matching(SELECT_ALL) == {0, 1}
    assert LabelIndex([]).matching(SELECT_ALL) == frozenset()
