"""Reading a cluster's JSON into a Snapshot, relative to the standard library's parser."""

from __future__ import annotations

import json
from pathlib import Path

import netpolc
from benches.conftest import Compare
from benches.workloads import Size


def test_load(compare: Compare, cluster: Path, size: Size) -> None:
    data = cluster.read_bytes()
    snapshot = compare(lambda: netpolc.load([str(cluster)]), lambda: json.loads(data))
    assert len(snapshot.policies) == size.policies
    # Some pods are finished: their addresses are in use again.
    assert 0.9 * size.pods < len(snapshot.cluster.pods) < size.pods
