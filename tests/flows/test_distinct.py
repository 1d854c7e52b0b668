"""The distinct flows of a batch: told apart by what judging looks at, and summed up."""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netpolc.flows import distinct
from netpolc.flows.schema import Record, batches

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


def _of(values: list[int | None], choose: object) -> int | None:
    given_values = [value for value in values if value is not None]
    return choose(given_values) if given_values else None  # type: ignore[operator]


@pytest.mark.parametrize("most", [1 << 62, 40])
@pytest.mark.parametrize("table", [1 << 20, 0])
@given(st.lists(RECORDS, min_size=1, max_size=30))
def test_flows_are_those_of_a_dictionary(most: int, table: int, records: list[Record]) -> None:
    """In all ways of numbering keys: by a table, by hashing, and anew where they grow too large."""
    (batch,) = batches(records)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct, "_MOST", most)
        patch.setattr(distinct, "_TABLE", table)
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
