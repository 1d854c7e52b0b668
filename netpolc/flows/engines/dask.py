"""dask.distributed: files of Parquet over the workers of a cluster, one task a file.

Comes in: a client, paths that every worker can read, and the file of a matcher here. Goes out: a
future for each file. The matcher goes to each worker once, as a file, and to workers that start
later too; a task of a worker that died runs again elsewhere. Refused: what `judge_batch` refuses;
a file whose tasks kill worker after worker raises `distributed.KilledWorker` from its future.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds

from netpolc.files import replacing
from netpolc.flows.engines.judge_batch import COLUMNS, POLICIES, REASON, Names, judge_batch

T = TypeVar("T")
Counts = Counter[tuple[str | None, str | None]]


def counts(batches: Iterable[pa.RecordBatch]) -> Counts:
    """How many rows have each pair of `policies` and `reason`."""
    found: Counts = Counter()
    for batch in batches:
        table = pa.table({name: batch[name] for name in (POLICIES, REASON)})
        for row in table.group_by([POLICIES, REASON]).aggregate([([], "count_all")]).to_pylist():
            found[row[POLICIES], row[REASON]] += row["count_all"]
    return found


def each_file(
    client: Any,
    paths: Sequence[str],
    matcher: str,
    make: Callable[[Iterator[pa.RecordBatch]], T] = counts,  # type: ignore[assignment]
    columns: Names = COLUMNS,
) -> list[Any]:
    """A `distributed.Future` for each file, of what `make` makes of its judged batches.

    `make` runs on the worker; without it the future is a `Counter` of verdicts. Raises `OSError`
    when the matcher cannot be read.
    """
    with open(matcher, "rb") as stream:
        content = stream.read()
    name = f"netpolc-{sha256(content).hexdigest()[:32]}.matcher"
    client.register_plugin(_plugin(content, name))
    return [client.submit(_judged, path, name, make, columns, pure=False) for path in paths]


def _plugin(content: bytes, name: str) -> Any:
    """Writes the matcher into the folder of each worker when it starts."""
    from distributed import WorkerPlugin

    class Ship(WorkerPlugin):  # type: ignore[misc]
        """The file of a matcher."""

        def __init__(self) -> None:
            self.name = name

        def setup(self, worker: Any) -> None:
            """Of a worker that starts."""
            with replacing(os.path.join(worker.local_directory, name)) as out:
                out.write(content)

    return Ship()


def _judged(
    path: str, name: str, make: Callable[[Iterator[pa.RecordBatch]], T], columns: Names
) -> T:
    from distributed import get_worker

    matcher = os.path.join(get_worker().local_directory, name)
    batches = ds.dataset(path, format="parquet").to_batches()
    return make(judge_batch(batch, matcher, columns) for batch in batches)
