"""dask.distributed: files of Parquet over the workers of a cluster, one task a file.

Comes in: a client, paths that every worker can read, and the file of a matcher here. Goes out: a
future for each file, and what became of all of them. The matcher goes to each worker once, as a
file, and to workers that start later too; a task of a worker that died runs again elsewhere.
Refused: what `judge_batch` refuses; a file that cannot be read, or whose tasks end worker after
worker (`LogError`).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.dataset as ds

from netpolc.core.errors import NetpolcError
from netpolc.files import replacing
from netpolc.flows.engines.judge_batch import COLUMNS, POLICIES, REASON, Names, judge_batch
from netpolc.flows.notes import LogError, LogNotes

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


def collected(
    paths: Sequence[str], futures: Sequence[Any], *, keep_going: bool = False
) -> tuple[list[Any], LogNotes]:
    """What became of each file of `each_file`, in order of the paths, and the notes.

    `LogError` for one that cannot be read or that no worker survived; with `keep_going` its result
    is None, the note counts it, and the others are taken.
    """
    from distributed import KilledWorker

    notes = LogNotes(keep_going=keep_going)
    found: list[Any] = []
    for path, future in zip(paths, futures, strict=True):
        try:
            found.append(future.result())
            continue
        except KilledWorker as error:
            told = f"{error.allowed_failures + 1} workers died of it, the last one at "
            told += f"{error.last_worker.address}: is their memory too small?"
        except (OSError, pa.ArrowException, NetpolcError) as error:
            told = f"it cannot be judged: {error}".splitlines()[0]
        notes.give_up(LogError(f"{path}: {told}"), path)
        found.append(None)
    return found, notes


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
