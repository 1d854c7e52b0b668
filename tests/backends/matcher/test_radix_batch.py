"""`RadixTree` over columns of addresses: buffers, NumPy, threads.

In: columns of both families. Out: the same values as one by one; errors for other columns.
"""

from __future__ import annotations

from array import array
from concurrent.futures import ThreadPoolExecutor
from ipaddress import (
    IPv6Address,
)

import pytest

from netpolc.backends.matcher import RadixTree


def test_batch_writes_to_out_and_returns_it() -> None:
    tree = RadixTree([("10.0.0.0/8", 1), ("::/0", 2)])
    out = array("i", [9, 9, 9])
    assert tree.lookup_batch(array("I", [0x0A000001, 0, 0x0AFFFFFF]), out) is out
    assert list(out) == [1, -1, 1]
    rows = memoryview(bytes(16) + IPv6Address("::ffff:10.1.1.1").packed + bytes(16))
    tree.lookup_batch(rows.cast("B", (3, 16)), out=out, missing=0)
    assert list(out) == [2, 1, 2]
    assert list(tree.lookup_batch(array("I"))) == []


@pytest.mark.parametrize(
    "column",
    [
        bytes(16),
        array("i", [1]),
        array("Q", [1]),
        array("f", [1.0]),
        memoryview(bytes(8)).cast("B", (2, 4)),
        memoryview(array("I", [1, 2])).cast("B").cast("I", (1, 2)),
    ],
)
def test_batch_refuses_other_columns(column: array[int]) -> None:
    with pytest.raises(ValueError, match="a column of addresses"):
        RadixTree().lookup_batch(column)


@pytest.mark.parametrize("out", [array("i"), array("i", [0, 0]), array("I", [0]), bytearray(4)])
def test_batch_refuses_other_outputs(out: array[int]) -> None:
    with pytest.raises(ValueError, match="out must be"):
        RadixTree().lookup_batch(array("I", [1]), out)


def test_batch_refuses_strides_and_read_only_outputs() -> None:
    column = array("I", [1, 2, 3, 4])
    with pytest.raises(BufferError):
        RadixTree().lookup_batch(memoryview(column)[::2])
    with pytest.raises(BufferError):
        RadixTree().lookup_batch(column, memoryview(array("i", [0] * 4)).toreadonly())
    with pytest.raises(TypeError):
        RadixTree().lookup_batch(5)  # type: ignore[call-overload]


def test_batch_takes_numpy_columns() -> None:
    np = pytest.importorskip("numpy")
    tree = RadixTree([("10.0.0.0/8", 1), ("2001:db8::/32", 2)])
    column = np.array([0x0A000001, 0x0B000000], dtype=np.uint32)
    out = np.empty(2, dtype=np.int32)
    assert tree.lookup_batch(column, out) is out
    assert out.tolist() == [1, -1]
    rows = np.zeros((3, 16), dtype=np.uint8)
    rows[1, :4] = (0x20, 0x01, 0x0D, 0xB8)
    assert np.asarray(tree.lookup_batch(rows)).tolist() == [-1, 2, -1]
    unaligned = np.frombuffer(b"\0" + column.tobytes(), dtype=np.uint32, offset=1)
    assert list(tree.lookup_batch(unaligned)) == [1, -1]
    assert tree.lookup(np.uint32(0x0A000001)) == 1
    with pytest.raises(ValueError, match="byte order"):
        tree.lookup_batch(column.astype(column.dtype.newbyteorder()))


def test_batches_in_threads_survive_rebuilds() -> None:
    tree = RadixTree([("10.0.0.0/8", 0)])
    column = array("I", range(0x0A000000, 0x0A000000 + 200_000))

    def batch(_: int) -> set[int]:
        return set(tree.lookup_batch(column))

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(batch, i) for i in range(10)]
        for value in range(1, 60):
            tree.insert("10.0.0.0/8", value)
            tree.lookup("10.0.0.1")
        assert all(len(job.result()) == 1 for job in jobs)
