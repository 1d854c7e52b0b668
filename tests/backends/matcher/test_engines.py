"""Arrow columns of every type that engines hand out, against the same rows one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.backends.matcher import Matcher
from netpolc.backends.matcher.engines import InvalidReason
from tests.helpers.scenarios import ROOT, read

PROGRAM = read(ROOT / "examples" / "three-tier").program()
MATCHER = Matcher(PROGRAM)
FRONTEND, BACKEND, OUTSIDE = "10.244.1.11", "10.244.1.21", "203.0.113.7"
IPV6 = "fd00:10:244:1::11"
ENDS = [FRONTEND, BACKEND, OUTSIDE, "10.244.1.31", None]
NUMBERS = [6, 17, 132, 1, 47]
PORTS = [80, 8080, 5432, 53, 0, 65535]
Row = tuple[Any, Any, Any, Any]


def truth(row: Row) -> int:
    """By the slow semantics; 2 for what is no flow."""
    try:
        src, dst, protocol, port = row
        has_ports = protocol in (6, 17, 132)
        flow = netpolc.Flow(src, dst, protocol, port if has_ports else None)
    except (TypeError, ValueError):
        return 2
    return int(netpolc.evaluate(PROGRAM, flow).allowed)


def number(address: str | None) -> int | None:
    from ipaddress import ip_address

    return None if address is None else int(ip_address(address))


def run_ends(items: list[Any], kind: pa.DataType) -> pa.Array:
    """One run a row."""
    ends = pa.array(range(1, len(items) + 1), pa.int32())
    return pa.RunEndEncodedArray.from_arrays(ends, pa.array(items, kind))


def nothing(items: list[Any]) -> pa.Array:
    return pa.nulls(len(items))


Maker = Callable[[list[Any]], pa.Array]
ADDRESSES: dict[str, Maker] = {
    "text": lambda own: pa.array(own, pa.string()),
    "int64": lambda own: pa.array([number(one) for one in own], pa.int64()),
    "uint64": lambda own: pa.array([number(one) for one in own], pa.uint64()),
    "binary": lambda own: pa.array([one and one.encode() for one in own], pa.binary()),
    "large-binary": lambda own: pa.array([one and one.encode() for one in own], pa.large_binary()),
    "runs": lambda own: run_ends(own, pa.string()),
    "runs-of-int64": lambda own: run_ends([number(one) for one in own], pa.int64()),
    "dictionary-of-int64": lambda own: pa.array(
        [number(one) for one in own], pa.int64()
    ).dictionary_encode(),
}
PROTOCOLS: dict[str, Maker] = {
    "text": lambda own: pa.array([one if one is None else str(one) for one in own], pa.string()),
    "binary": lambda own: pa.array([one if one is None else b"%d" % one for one in own]),
    "floats": lambda own: pa.array(own, pa.float64()),
    "decimals": lambda own: pa.array(
        [None if one is None else Decimal(one) for one in own], pa.decimal128(5, 2)
    ),
    "runs": lambda own: run_ends(own, pa.uint8()),
}
PORT_KINDS: dict[str, Maker] = {
    "text": lambda own: pa.array([one if one is None else str(one) for one in own], pa.string()),
    "view": lambda own: pa.array([None if i is None else str(i) for i in own], pa.string_view()),
    "floats": lambda own: pa.array(own, pa.float64()),
    "float32": lambda own: pa.array(own, pa.float32()),
    "decimals": lambda own: pa.array(
        [None if one is None else Decimal(one) for one in own], pa.decimal128(10, 3)
    ),
    "decimal256": lambda own: pa.array(
        [None if one is None else Decimal(one) for one in own], pa.decimal256(40, 0)
    ),
    "runs": lambda own: run_ends(own, pa.int32()),
    "dictionary-of-text": lambda own: pa.array(
        [None if one is None else str(one) for one in own]
    ).dictionary_encode(),
}
rows = st.lists(
    st.tuples(
        st.sampled_from(ENDS),
        st.sampled_from(ENDS),
        st.sampled_from([*NUMBERS, None]),
        st.sampled_from([*PORTS, None]),
    ),
    max_size=30,
)


def columns(given: list[Row]) -> list[list[Any]]:
    return [[row[at] for row in given] for at in range(4)]


@given(
    rows,
    st.sampled_from(sorted(ADDRESSES)),
    st.sampled_from(sorted(PROTOCOLS)),
    st.sampled_from(sorted(PORT_KINDS)),
    st.booleans(),
)
def test_any_types_are_one_answer(
    given: list[Row], ends: str, protocol: str, port: str, nested: bool
) -> None:
    src, dst, protocols, ports = columns(given)
    arrays = {
        "src": ADDRESSES[ends](src),
        "dst": ADDRESSES[ends](dst),
        "protocol": PROTOCOLS[protocol](protocols),
        "port": PORT_KINDS[port](ports),
    }
    names = ("src", "dst", "protocol", "port")
    if nested:
        inner = pa.StructArray.from_arrays([arrays.pop("src"), arrays.pop("port")], ["ip", "port"])
        arrays["flow"] = pa.StructArray.from_arrays([inner], ["from"])
        names = ("flow.from.ip", "dst", "protocol", "flow.from.port")
    source = pa.table(arrays)
    wanted = list(map(truth, given))
    assert MATCHER.verdicts_arrow(source, names).tolist() == wanted
    assert MATCHER.verdicts_arrow(source.to_reader(max_chunksize=7), names).tolist() == wanted
    codes, reasons = MATCHER.verdicts_arrow(source, names, reasons=True).T
    assert codes.tolist() == wanted
    assert [bool(own) for own in reasons.tolist()] == [code == 2 for code in wanted]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_names_and_numbers_of_protocols_as_text(kind: pa.DataType) -> None:
    """As `eval --flows` takes them; the frontend lets TCP 80 in, and no other protocol."""
    names = ["TCP", "tcp", "6", "ICMP", "icmpv4", "ICMPv6", "icmp6", "1", "0", "255"]
    bad = ["256", "TPC", "", "6 ", "-6", "ICMPv5", "٦", "0006"]
    source = pa.table(
        {
            "src": [OUTSIDE] * len(names + bad),
            "dst": [FRONTEND] * len(names + bad),
            "protocol": pa.array(names + bad, kind),
            "port": [80] * len(names + bad),
        }
    )
    wanted = [1, 1, 1] + [0] * (len(names) - 3) + [2] * len(bad)
    assert MATCHER.verdicts_arrow(source).tolist() == wanted
    words = pa.array(names + bad).dictionary_encode()
    coded = source.set_column(2, "protocol", words)
    assert MATCHER.verdicts_arrow(coded).tolist() == wanted
    _, reasons = MATCHER.verdicts_arrow(source, reasons=True).T
    assert set(reasons[len(names) :].tolist()) == {InvalidReason.PROTOCOL}


def test_ports_that_are_none_and_a_column_of_nulls() -> None:
    odd = [1.5, float("nan"), float("inf"), -1.0, 65536.0, None, 80.0]
    ends = {"src": [OUTSIDE] * 7, "dst": [FRONTEND] * 7}
    source = pa.table({**ends, "protocol": [6] * 7, "port": odd})
    codes, reasons = MATCHER.verdicts_arrow(source, reasons=True).T
    assert codes.tolist() == [2] * 6 + [1]
    port, null = InvalidReason.PORT, InvalidReason.NULL
    assert reasons.tolist() == [port] * 5 + [null, InvalidReason.NONE]
    source = pa.table({**ends, "protocol": [6, 1] * 3 + [6], "port": nothing(odd)})
    assert MATCHER.verdicts_arrow(source).tolist() == [2, 0, 2, 0, 2, 0, 2]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, FRONTEND, "TCP", 80), InvalidReason.NULL),
        ((OUTSIDE, FRONTEND, None, 80), InvalidReason.NULL),
        ((OUTSIDE, FRONTEND, "TCP", None), InvalidReason.NULL),
        (("10.0.0.256", FRONTEND, "TCP", 80), InvalidReason.ADDRESS),
        ((OUTSIDE, "shop/web", "TCP", 80), InvalidReason.ADDRESS),
        ((OUTSIDE, FRONTEND, "QUIC", 80), InvalidReason.PROTOCOL),
        ((OUTSIDE, FRONTEND, "TCP", 65536), InvalidReason.PORT),
        ((OUTSIDE, FRONTEND, "SCTP", -1), InvalidReason.PORT),
        ((OUTSIDE, IPV6, "TCP", 80), InvalidReason.FAMILIES),
        ((OUTSIDE, FRONTEND, "TCP", 80), InvalidReason.NONE),
        ((OUTSIDE, FRONTEND, "ICMP", None), InvalidReason.NONE),
    ],
)
def test_the_reason_of_a_row(row: Row, reason: InvalidReason) -> None:
    names = ("src", "dst", "protocol", "port")
    kinds = (pa.string(), pa.string(), pa.string(), pa.int64())
    arrays = [pa.array([own], kind) for own, kind in zip(row, kinds, strict=True)]
    source = pa.table(arrays, names=names)
    codes, reasons = MATCHER.verdicts_arrow(source, reasons=True).T
    assert reasons.tolist() == [reason]
    assert (codes[0] == 2) == (reason is not InvalidReason.NONE)
    assert codes.dtype == reasons.dtype == np.uint8


def test_bytes_that_are_no_text_are_no_address() -> None:
    source = pa.table(
        {
            "src": pa.array([b"\xff\xfe", OUTSIDE.encode()], pa.binary()),
            "dst": [FRONTEND] * 2,
            "protocol": [6] * 2,
            "port": [80] * 2,
        }
    )
    assert MATCHER.verdicts_arrow(source).tolist() == [2, 1]


def test_parents_that_are_null() -> None:
    flow = pa.array([{"ip": OUTSIDE}, None], pa.struct([("ip", pa.string())]))
    source = pa.table({"flow": flow, "dst": [FRONTEND] * 2, "protocol": [6] * 2, "port": [80] * 2})
    names = ("flow.ip", "dst", "protocol", "port")
    codes, reasons = MATCHER.verdicts_arrow(source, names, reasons=True).T
    assert (codes.tolist(), reasons.tolist()) == ([1, 2], [0, InvalidReason.NULL])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("flow.no", "dst", "protocol", "port"), "no field 'no'"),
        (("dst.ip", "dst", "protocol", "port"), "no field 'ip'"),
        (("nobody.ip", "dst", "protocol", "port"), "0 columns are named 'nobody.ip'"),
    ],
)
def test_paths_that_lead_nowhere(names: tuple[str, str, str, str], message: str) -> None:
    flow = pa.array([{"ip": OUTSIDE}], pa.struct([("ip", pa.string())]))
    source = pa.table({"flow": flow, "dst": [FRONTEND], "protocol": [6], "port": [80]})
    with pytest.raises(ValueError, match=message):
        MATCHER.verdicts_arrow(source, names)


def test_what_the_core_reads_needs_no_pyarrow() -> None:
    """The types that it reads itself do not import it."""
    code = (
        "import sys, netpolc\n"
        "from netpolc.backends.matcher import Matcher\n"
        f"m = Matcher(netpolc.compile(netpolc.load([{str(ROOT / 'examples' / 'three-tier')!r}])))\n"
        "assert m.verdicts(['203.0.113.7'], ['10.244.1.11'], 'TCP', [80]).tolist() == [1]\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
