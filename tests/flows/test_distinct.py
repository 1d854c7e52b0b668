"""The distinct flows of a batch: told apart by what judging looks at, and summed up."""

from __future__ import annotations

from collections import defaultdict
from ipaddress import AddressValueError, IPv4Address

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.flows import columns, distinct
from netpolc.flows.schema import Record, batches

ADDRESSES = ["0.0.0.0", "10.0.0.010", "1.2.3", "1.2.3.4.5", "1.2.3.256", " 1.2.3.4", "1.2.3.4\n",
             "::ffff:1.2.3.4", "255.255.255.255", "", "a/b", "1..2.3", "\u0661.2.3.4"]  # fmt: skip
FEW = st.sampled_from([None, "10.0.0.1", "10.0.0.2", "2001:db8::1"])
COUNTERS = st.sampled_from([None, 0, 1, 2**53 + 1])
RECORDS = st.builds(
    Record,
    ts=COUNTERS,
    src=FEW,
    dst=FEW,
    src_port=st.sampled_from([None, 0, 40_000]),
    protocol=st.sampled_from([None, 1, 6, 17]),
    port=st.sampled_from([None, 0, 80, 65_535]),
    direction=st.sampled_from([None, "egress", "ingress"]),
    is_reply=st.sampled_from([None, False, True]),
    verdict=st.sampled_from([None, "forwarded", "dropped"]),
    reporter=st.sampled_from([None, "node-a"]),
    packets=COUNTERS,
    bytes=COUNTERS,
    src_pod=st.sampled_from([None, "a/b", "a/c"]),
    dst_pod=st.sampled_from([None, "a/b"]),
    problem=st.sampled_from([None, "cut"]),
)


def _key(record: Record) -> tuple[object, ...]:
    port = None if record.is_reply is False else record.src_port
    ends = record.src, record.dst, record.src_pod, record.dst_pod, record.protocol, record.port
    return *ends, record.direction, record.is_reply, record.verdict, record.problem, port


@pytest.mark.parametrize("size", [4, 1 << 12, 1 << 62])
@given(st.data())
def test_keys_are_numbered_as_they_come(size: int, data: st.DataObject) -> None:
    """By a table of keys, and by hashing where there are too many."""
    few = st.integers(0, min(size, 9) - 1) | st.integers(max(0, size - 9), size - 1)
    keys = data.draw(st.lists(few | st.integers(0, size - 1), max_size=60))
    found = columns.without_gaps(np.array(keys, np.int64), size)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    assert found.of_row.tolist() == [numbers[key] for key in keys]
    assert found.first.tolist() == [keys.index(key) for key in numbers]
    assert found.counts.tolist() == [keys.count(key) for key in numbers]


@given(st.lists(st.sampled_from(ADDRESSES) | st.ip_addresses(v=4).map(str) | st.none() | st.text()))
def test_addresses_are_read_as_one_by_one(words: list[str | None]) -> None:
    numbers, are_read = columns.ipv4_numbers(pa.array([None, *words], pa.string())[1:])
    for word, number, is_read in zip(words, numbers.tolist(), are_read.tolist(), strict=True):
        try:
            wanted = int(IPv4Address(word)) if word is not None else None
        except AddressValueError:
            wanted = None
        assert (number if is_read else None) == wanted


def _of(values: list[int | None], choose: object) -> int | None:
    given_values = [value for value in values if value is not None]
    return choose(given_values) if given_values else None  # type: ignore[operator]


@pytest.mark.parametrize("most", [1 << 62, 40])
@given(st.lists(RECORDS, min_size=1, max_size=30))
def test_flows_are_those_of_a_dictionary(most: int, records: list[Record]) -> None:
    """Also where keys grow too large and are numbered anew."""
    (batch,) = batches(records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "_MOST", most)
        found = distinct.distinct_flows(batch)
    wanted = defaultdict(list)
    for row, record in enumerate(records):
        wanted[_key(record)].append(row)
    assert sorted(found.first.tolist()) == [rows[0] for rows in wanted.values()]
    sums, octets = found.sums(batch["packets"]), found.sums(batch["bytes"])
    first, last = found.span(batch["ts"].cast(pa.int64()))
    for rows in wanted.values():
        own = {int(found.of_row[row]) for row in rows}
        assert len(own) == 1
        (flow,) = own
        assert found.first[flow] == rows[0]
        assert found.counts[flow] == len(rows)
        assert sums[flow].as_py() == _of([records[row].packets for row in rows], sum)
        assert octets[flow].as_py() == _of([records[row].bytes for row in rows], sum)
        assert first[flow].as_py() == _of([records[row].ts for row in rows], min)
        assert last[flow].as_py() == _of([records[row].ts for row in rows], max)
