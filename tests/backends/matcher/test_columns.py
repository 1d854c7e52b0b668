"""Columns as other libraries hold them, and what is given instead of a column."""

from __future__ import annotations

from collections import UserList
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import netpolc
from netpolc.backends.matcher import ALLOW, DENY, INVALID, Matcher, VerdictCode
from tests.helpers.scenarios import ROOT, read

WEB, API = "10.244.1.11", "10.244.1.12"
OUTSIDE, PORT = "203.0.113.7", 80
"""examples/three-tier lets everybody reach the first pod on this port alone."""
NAN = float("nan")


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return Matcher(read(ROOT / "examples" / "three-tier").program())


FORMS: list[Callable[[list[Any]], Any]] = [
    list,
    tuple,
    iter,
    UserList,
    lambda items: (item for item in items),
    lambda items: np.array(items, dtype=object),
    pa.array,
    lambda items: pa.chunked_array([items[:2], items[2:]]),
    lambda items: pa.array(items).dictionary_encode(),
]


@pytest.mark.parametrize("form", FORMS)
def test_columns_of_other_libraries(matcher: Matcher, form: Callable[[list[Any]], Any]) -> None:
    sources = form([OUTSIDE, OUTSIDE, "nothing", None, OUTSIDE, OUTSIDE])
    destinations = form([WEB] * 6)
    protocols = form(["TCP", "tcp", "TCP", "TCP", None, "TCP"])
    ports = form([PORT, PORT + 1, PORT, PORT, PORT, None])
    wanted = [ALLOW, DENY, INVALID, INVALID, INVALID, INVALID]
    assert matcher.verdicts(sources, destinations, protocols, ports).tolist() == wanted


@pytest.mark.parametrize(
    "ports",
    [
        [80.0, NAN, 80.5, 81.0],
        np.array([80.0, NAN, 80.5, 81.0]),
        np.array([80.0, NAN, 80.5, 81.0], dtype=np.float32),
        pa.array([80.0, None, 80.5, 81.0]),
        np.ma.array([80, 80, 99999, 81], mask=[False, True, False, False]),
    ],
    ids=lambda given: type(given).__name__,
)
def test_a_port_that_is_missing_is_no_flow(matcher: Matcher, ports: Any) -> None:
    found = matcher.verdicts([OUTSIDE] * 4, [WEB] * 4, "TCP", ports)
    assert found.tolist() == [ALLOW, INVALID, INVALID, DENY]


def test_numbers_of_addresses_with_missing_ones(matcher: Matcher) -> None:
    numbers = [int(ip_address(OUTSIDE)), None]
    for column in (numbers, pa.array(numbers), np.array(numbers, dtype=float)):
        found = matcher.verdicts(column, [WEB, WEB], "TCP", PORT)
        assert found.tolist() == [ALLOW, INVALID]
    masked = np.ma.array([int(ip_address(OUTSIDE))] * 2, mask=[False, True], dtype=np.uint32)
    assert matcher.verdicts(masked, [WEB, WEB], "TCP", PORT).tolist() == [ALLOW, INVALID]


def test_one_value_for_all_rows(matcher: Matcher) -> None:
    for protocol in (6, np.int64(6), np.array(6), "TCP", np.array("tcp"), np.str_("TCP")):
        for port in (PORT, np.uint16(PORT), np.array(PORT)):
            found = matcher.verdicts([OUTSIDE], [WEB], protocol, port)
            assert found.tolist() == [ALLOW]
    assert matcher.verdicts([OUTSIDE] * 2, [WEB] * 2, "TCP", True).tolist() == [INVALID] * 2
    assert matcher.verdicts([OUTSIDE], [WEB], [True], PORT).tolist() == [INVALID]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ((OUTSIDE, [WEB]), r"src: one value and no column of them: give \['203\.0\.113\.7'\]"),
        (([OUTSIDE], ip_address(WEB).packed), "dst: one value and no column"),
        (([OUTSIDE], np.array(WEB)), "dst: one value and no column"),
        (([OUTSIDE], ip_network("10.0.0.0/30")), "dst: IPv4Network is no column"),
        (([OUTSIDE], int(ip_address(WEB))), "dst: int is no column"),
        ((None, [WEB]), "src: NoneType is no column"),
        (({OUTSIDE: 1}, [WEB]), "src: dict is no column"),
        (({OUTSIDE}, [WEB]), "src: set is no column"),
        (([OUTSIDE], [WEB], {"TCP": 1}), "protocol: dict is no column"),
        (([OUTSIDE], [WEB], "TCP", "80"), "port: one value and no column"),
        (([OUTSIDE], [WEB], "TCP", {80: 1}), "port: dict is no column"),
        (([OUTSIDE], [WEB], True), "unknown protocol True"),
        ((pa.table({"src": [OUTSIDE]}), [WEB]), "src: a table .* verdicts_arrow takes tables"),
        ((np.zeros((1, 16)), np.zeros((1, 16))), "a column"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_what_is_given_instead_of_a_column(
    matcher: Matcher, columns: tuple[Any, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        matcher.verdicts(*columns)


def test_only_an_allowed_row_is_true(matcher: Matcher) -> None:
    """An array of codes is one of numbers, so `allowed` is what gives booleans."""
    assert list(map(bool, VerdictCode)) == [False, True, False]
    rows: Mapping[str, Any] = {"src": [OUTSIDE, "x"], "dst": [WEB] * 2, "port": PORT}
    codes = matcher.verdicts(**rows)
    assert [bool(VerdictCode(code)) for code in codes] == [True, False]
    assert [bool(code) for code in matcher.allowed(**rows)] == [True, False]
    assert codes[1] == netpolc.VerdictCode.INVALID
