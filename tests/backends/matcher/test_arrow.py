"""Arrow columns of every layout against the same rows in lists."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.matcher import INVALID, Matcher
from netpolc.backends.matcher._core import arrow_batches
from tests.backends.matcher.agreement import factored, levels, simd, telling_addresses
from tests.helpers.scenarios import ROOT, read

PROGRAM = read(ROOT / "examples" / "three-tier").program()
ADDRESSES = [netpolc.core.nets.format_address(a) for a in telling_addresses(PROGRAM)]
ODD: list[str | None] = [
    None, "", "1", "1.2.3", "1.2.3.4.5", "1..2.3", ".1.2.3", "1.2.3.", "01.2.3.4", "1.2.3.256",
    "1.2.3.4 ", "1.2.3.a", "255.255.255.255", "0.0.0.0", "000.0.0.0", "1.2.3./", "1.2.3.:",
    "1000.2.3.4", "::ffff:10.64.0.7", "fe80::1%eth0", "2001:db8::7", "::", "10.64.0.1000",
    "a name of more than twelve bytes", "1.2.3.4\0", "١.2.3.4", "255.255.255.2550", "10,0,0,1",
]  # fmt: skip
NAMES: list[Any] = ["TCP", "UDP", "SCTP", "tcp", "ICMP", "", "TC", None, "TCPX"]
NUMBERS: list[Any] = [6, 17, 132, 1, 47, 0, 255, 256, -1, None]
PORTS: list[Any] = [80, 8080, 5432, 0, 65535, 65536, -1, None]


def matchers() -> list[Matcher]:
    found = []
    for level in levels():
        with simd(level):
            found += [Matcher(PROGRAM), factored(PROGRAM)]
    return found


MATCHERS = matchers()


def table(rows: list[tuple[Any, ...]], ends: Any, protocol: Any, port: Any) -> pa.Table:
    """Rows as columns of some types, a few rows a chunk, every chunk a slice of a longer array."""
    arrays = []
    for at, kind in enumerate((ends, ends, protocol, port)):
        column = [row[at] for row in rows]
        chunks = []
        for first in range(0, max(len(column), 1), 50):
            padded = [*column[first : first + 3][:3], *column[first : first + 50], *column[:2]]
            skipped = len(padded) - len(column[first : first + 50]) - len(column[:2])
            made = kind(padded)
            chunks.append(made.slice(skipped, len(column[first : first + 50])))
        arrays.append(pa.chunked_array(chunks))
    return pa.table(arrays, names=["src", "dst", "protocol", "port"])


def of(kind: pa.DataType) -> Callable[[list[Any]], pa.Array]:
    return lambda items: pa.array(items, type=kind)


def fits(kind: pa.DataType, items: list[Any]) -> list[Any]:
    """What the type cannot hold becomes null: no number in range, so INVALID either way."""
    low, high = np.iinfo(kind.to_pandas_dtype()).min, np.iinfo(kind.to_pandas_dtype()).max
    return [i if i is not None and low <= i <= high else None for i in items]


def integers(kind: pa.DataType) -> Callable[[list[Any]], pa.Array]:
    return lambda items: pa.array(fits(kind, items), type=kind)


def encoded(kind: pa.DataType, index: pa.DataType) -> Callable[[list[Any]], pa.Array]:
    return lambda items: (
        pa.array(items, type=kind).dictionary_encode().cast(pa.dictionary(index, kind))
    )


def packed4(items: list[Any]) -> pa.Array:
    return pa.array([i and ip_address(i).packed for i in items], type=pa.binary(4))


def packed16(items: list[Any]) -> pa.Array:
    def wide(text: str) -> bytes:
        return (b"" if ":" in text else bytes(10) + b"\xff\xff") + ip_address(text).packed

    return pa.array([i and wide(i) for i in items], type=pa.binary(16))


def uint32(items: list[Any]) -> pa.Array:
    return pa.array([i and int(ip_address(i)) for i in items], type=pa.uint32())


def wanted(rows: list[tuple[Any, ...]]) -> list[int]:
    """One by one; only columns of Arrow take ICMP by name."""
    rows = [(*row[:2], 1 if row[2] == "ICMP" else row[2], *row[3:]) for row in rows]
    codes: list[int] = MATCHERS[0].verdicts(*([row[i] for row in rows] for i in range(4))).tolist()
    for row, code in zip(rows, codes, strict=True):
        try:
            assert int(MATCHERS[0].verdict(*row)) == code
        except (TypeError, ValueError, OverflowError):
            assert code == INVALID
    return codes


def judged(source: object) -> list[list[int]]:
    return [m.verdicts_arrow(source, threads=t).tolist() for m in MATCHERS for t in (1, 2)]


TEXT = [pa.string(), pa.large_string(), pa.string_view()]


def mixed(count: int, seed: int, numbers: bool = True) -> list[tuple[Any, ...]]:
    rng = np.random.default_rng(seed)
    pool = ADDRESSES * 3 + ODD
    kinds = NUMBERS if numbers else NAMES

    def some(items: list[Any]) -> Any:
        return items[int(rng.integers(len(items)))]

    return [
        (some(pool), some(pool), some(kinds[:3] * 5 + kinds), some(PORTS)) for _ in range(count)
    ]


@pytest.mark.parametrize("text", TEXT, ids=str)
@pytest.mark.parametrize("count", [0, 1, 17, 230])
def test_text(text: pa.DataType, count: int) -> None:
    rows = mixed(count, count)
    source = table(rows, of(text), integers(pa.int64()), integers(pa.int32()))
    for codes in judged(source):
        assert codes == wanted(rows)


def test_text_of_more_rows_than_are_resolved_at_once() -> None:
    rows = mixed(3_000, 9)
    columns = [pa.array([row[at] for row in rows]) for at in range(4)]
    batch = pa.record_batch(columns, names=["src", "dst", "protocol", "port"])
    for codes in judged(batch):
        assert codes == wanted(rows)


@pytest.mark.parametrize("text", TEXT[:2], ids=str)
@pytest.mark.parametrize("index", [pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.uint32(),
                                   pa.int64()], ids=str)  # fmt: skip
def test_dictionaries(text: pa.DataType, index: pa.DataType) -> None:
    rows = mixed(230, 3, numbers=False)
    ends = encoded(text, index)
    source = table(rows, ends, encoded(pa.string(), pa.int32()), encoded(pa.int64(), pa.int8()))
    source = source.unify_dictionaries()
    for codes in judged(source):
        assert codes == wanted(rows)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_protocols_by_name(kind: pa.DataType) -> None:
    rows = mixed(100, 4, numbers=False)
    source = table(rows, of(pa.string()), of(kind), integers(pa.int64()))
    for codes in judged(source):
        assert codes == wanted(rows)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(),
                                  pa.uint32(), pa.int64(), pa.uint64()], ids=str)  # fmt: skip
def test_integers_of_any_width(kind: pa.DataType) -> None:
    rows = [(*row[:2], fits(kind, [row[2]])[0], fits(kind, [row[3]])[0]) for row in mixed(200, 5)]
    source = table(rows, of(pa.string()), integers(kind), integers(kind))
    for codes in judged(source):
        assert codes == wanted(rows)


@pytest.mark.parametrize("version", [4, 6])
def test_packed_addresses(version: int) -> None:
    own: list[Any] = [a for a in ADDRESSES if (":" in a) == (version == 6)]
    pools = own if version == 4 else ADDRESSES
    rng = np.random.default_rng(6)
    rows: list[tuple[Any, ...]] = [
        (*(pools[int(i)] for i in rng.integers(len(pools), size=2)), 6, 8080) for _ in range(300)
    ]
    rows += [(None, own[0], 6, 80), (own[0], None, 6, 80)]
    layouts = [packed4, uint32, packed16] if version == 4 else [packed16]
    for layout in layouts:
        source = table(rows, layout, integers(pa.uint8()), integers(pa.uint16()))
        for codes in judged(source):
            assert codes == wanted(rows), layout


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_nothing_behind_the_last_byte_is_read(count: int) -> None:
    """Buffers that end with their data: `make asan` sees any byte read past them."""
    texts = [ADDRESSES[n % len(ADDRESSES)] for n in range(count)]
    data = "".join(texts).encode()
    ends = [0, *np.cumsum([len(text) for text in texts]).tolist()]
    for kind, width in ((pa.string(), np.int32), (pa.large_string(), np.int64)):
        buffers = [None, pa.py_buffer(np.array(ends, dtype=width).tobytes()), pa.py_buffer(data)]
        array = pa.Array.from_buffers(kind, count, buffers)
        numbers = pa.array([47] * count, type=pa.uint8())
        ports = pa.array([0] * count, type=pa.uint16())
        source = pa.table([array, array, numbers, ports], ["src", "dst", "protocol", "port"])
        for codes in judged(source):
            assert codes == wanted([(text, text, 47, 0) for text in texts])


@given(st.lists(st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.from_regex(r"\A[0-9]{0,4}(\.[0-9]{0,4}){2,4}\Z"),
    st.text(alphabet="0123456789.:/ afx", max_size=20),
    st.none(),
), max_size=40))  # fmt: skip
@settings(max_examples=200)
def test_any_text_is_read_as_one_by_one(texts: list[str | None]) -> None:
    rows: list[tuple[Any, ...]] = [(text, text, 47, None) for text in texts]
    for kind in TEXT:
        array = pa.array(texts, type=kind)
        portless = pa.array([None] * len(rows), type=pa.uint16())
        protocols = pa.array([47] * len(rows), type=pa.uint8())
        source = pa.table([array, array, protocols, portless], ["src", "dst", "protocol", "port"])
        for codes in judged(source):
            assert codes == wanted(rows)


def test_struct_arrays_with_an_offset_and_nulls_of_their_own() -> None:
    rows = [row for row in mixed(60, 7) if None not in row]
    fields = [pa.array([row[at] for row in rows]) for at in range(4)]
    mask = pa.array([number % 5 == 0 for number in range(len(rows))])
    array = pa.StructArray.from_arrays(
        fields, names=["src", "dst", "protocol", "port"], mask=mask
    ).slice(7)
    codes = [INVALID if number % 5 == 0 else code for number, code in enumerate(wanted(rows))][7:]
    for found in judged(array):
        assert found == codes


def test_other_names_and_readers() -> None:
    rows = mixed(20, 8)
    source = table(rows, of(pa.string()), integers(pa.int64()), integers(pa.int64()))
    renamed = source.rename_columns(["from", "to", "ip", "dport"]).append_column(
        "bytes", pa.array(range(20))
    )
    reader = renamed.to_reader(max_chunksize=3)
    found = MATCHERS[0].verdicts_arrow(reader, columns=("from", "to", "ip", "dport"))
    assert found.tolist() == wanted(rows)


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        (pa.table({"src": ["1.2.3.4"]}), ValueError, "0 columns are named 'dst'"),
        (pa.array(["1.2.3.4"]), ValueError, "batch of columns"),
        ([1], TypeError, "__arrow_c_stream__"),
        (pa.table({"src": [1.5], "dst": ["a"], "protocol": [6], "port": [1]}), ValueError,
         "'src' of Arrow type 'g'"),
        (pa.table({"src": ["a"], "dst": ["a"], "protocol": [True], "port": [1]}), ValueError,
         "integers or names"),
        (pa.table({"src": ["a"], "dst": ["a"], "protocol": [6], "port": [[80]]}), ValueError,
         "integers are expected"),
    ],
)  # fmt: skip
def test_what_is_refused(source: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MATCHERS[0].verdicts_arrow(source)


def test_a_reader_that_fails_is_reported() -> None:
    def batches() -> Any:
        yield pa.record_batch([pa.array(["1.2.3.4"])], names=["src"])
        raise OSError("the disk is gone")

    schema = pa.schema([("src", pa.string())])
    reader = pa.RecordBatchReader.from_batches(schema, batches())
    with pytest.raises(ValueError, match=r"disk is gone|named 'dst'"):
        MATCHERS[0].verdicts_arrow(reader)


@pytest.mark.parametrize(
    "names",
    ["abcd", ("a", "b", "c"), ("a", "b", "c", "d", "d"), dict.fromkeys("abcd"), (1, 2, 3, 4)],
)
def test_columns_are_four_names(names: Any) -> None:
    source = pa.table({name: ["10.0.0.1"] for name in "abcd"})
    with pytest.raises(ValueError, match="columns: "):
        MATCHERS[0].verdicts_arrow(source, names)
    with pytest.raises(ValueError, match="3 names of columns"):
        next(arrow_batches(MATCHERS[0], source, ("a", "b", "c")))
