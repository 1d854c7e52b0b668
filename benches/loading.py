"""`python -m benches.loading`: what `netpolc.load` costs beside plain parsers, and its memory.

In: sizes of clusters. Out: rows for BENCHMARKS.md on standard output: JSON against `json.loads` of
the same bytes (as `benches.measure` has it, without what follows), YAML as kubectl writes it
against `yaml.load` with libyaml's loader. Refused: a cluster that is read as another.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import yaml

import netpolc
from benches.measure import JSON, machine
from benches.steps import forget_memos, time_json
from benches.timing import HEADER, Ratio, timed
from benches.workloads import SIZES, Size, cached

YAML_ROUNDS = 5
ROUNDS = {"S": 25, "M": 9, "L": 3}
TARGETS = {"S": "<= 0.75", "M": "<= 0.65", "L": "<= 0.65"}


class Dumper(yaml.CSafeDumper):
    """Quotes what kubectl quotes and PyYAML does not: `9e3` is a number."""


Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def as_yaml(path: Path) -> Path:
    """A cluster as `kubectl get -o yaml` writes it: blocks, sorted keys, lists no deeper than their
    key, long lines whole.
    """
    made = path.with_suffix(".yaml")
    if not made.exists():
        with made.open("w") as stream:
            yaml.dump(json.loads(path.read_bytes()), stream, Dumper=Dumper, width=1 << 30)
    return made


def loaded(path: Path) -> float:
    """CPU seconds of a load."""
    forget_memos()
    seconds, snapshot = timed(lambda: netpolc.load([path]))
    if not snapshot.cluster.pods or not snapshot.policies:
        raise ValueError(f"{path} holds no cluster")
    return seconds


def json_row(size: Size, rounds: int) -> str:
    path = cached(size)
    pairs = [(loaded(path), time_json(path)) for _ in range(rounds + 1)]
    return Ratio(f"{size.name}: load of JSON", JSON, tuple(pairs[1:]), TARGETS[size.name]).row()


def yaml_rows(rounds: int) -> Iterator[str]:
    path = as_yaml(cached(SIZES["S"]))
    data = path.read_bytes()
    pairs = []
    for _ in range(rounds):
        anchor, value = timed(lambda: yaml.load(data, Loader=yaml.CSafeLoader))
        del value
        pairs.append((min(loaded(path) for _ in range(2)), anchor))
    what = f"load of {len(data) / 1e6:.1f} MB of YAML"
    yield Ratio(what, "`yaml.load(CSafeLoader)`, same bytes", tuple(pairs), "<= 0.15").row()


@click.command()
@click.option("--sizes", default="S,M,L", show_default=True, help="Clusters in JSON.")
@click.option("--rounds", type=int, help="Rounds of every row; the default follows the size.")
@click.option("--yaml/--no-yaml", "with_yaml", default=True, help="Measure YAML, too.")
def main(sizes: str, rounds: int | None, with_yaml: bool) -> None:
    """Print the rows as a Markdown table."""
    print(f"{machine()}\n\n{HEADER}")
    if with_yaml:
        for row in yaml_rows(rounds or YAML_ROUNDS):
            print(row, flush=True)
    for name in filter(None, sizes.split(",")):
        print(json_row(SIZES[name], rounds or ROUNDS[name]), flush=True)


if __name__ == "__main__":
    main()
