"""Reading a cluster into a Snapshot, relative to `json.loads` and to `yaml.load`."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

import netpolc
from benches.conftest import Compare
from benches.loading import as_yaml
from benches.workloads import SIZES, Size, cached


def test_load(compare: Compare, cluster: Path, size: Size) -> None:
    data = cluster.read_bytes()
    snapshot = compare(lambda: netpolc.load([str(cluster)]), lambda: json.loads(data))
    assert len(snapshot.policies) == size.policies
    # Some pods are finished: their addresses are in use again.
    assert 0.9 * size.pods < len(snapshot.cluster.pods) < size.pods


def test_load_of_yaml(compare: Compare) -> None:
    path = as_yaml(cached(SIZES["S"]))
    data = path.read_bytes()
    snapshot = compare(
        lambda: netpolc.load([path]), lambda: yaml.load(data, Loader=yaml.CSafeLoader)
    )
    same = netpolc.load([cached(SIZES["S"])])
    assert [own.key for own in snapshot.cluster.pods] == [own.key for own in same.cluster.pods]
    assert len(snapshot.policies) == len(same.policies)
