"""Snapshots for the tests of the commands.

In: the folder of an example. Out: its objects, and the same objects written in another way.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.helpers.scenarios import ROOT

EXAMPLE = ROOT / "examples" / "three-tier"
NODES = ("node-a", "node-b")


def objects() -> list[dict[str, Any]]:
    """Every object of the example."""
    found: list[dict[str, Any]] = []
    for path in sorted(EXAMPLE.glob("*.yaml")):
        found += [entry for entry in yaml.safe_load_all(path.read_text()) if entry]
    return found


def write_shuffled(folder: Path, seed: int, items: Sequence[dict[str, Any]]) -> list[str]:
    """The same objects in other files, other formats, another order; gives the paths, shuffled."""
    chance = random.Random(seed)
    rest = list(items)
    chance.shuffle(rest)
    paths: list[str] = []
    while rest:
        count = chance.randint(1, 6)
        part, rest = rest[:count], rest[count:]
        path = folder / f"{chance.randrange(10**6)}-{len(paths)}"
        match chance.randrange(4):
            case 0:
                path = path.with_suffix(".yaml")
                path.write_text(yaml.safe_dump_all(part, explicit_start=True))
            case 1:
                path = path.with_suffix(".json")
                path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": part}))
            case 2:
                path = path.with_suffix(".yml")
                path.write_text(yaml.safe_dump({"items": part, "kind": "List", "apiVersion": "v1"}))
            case _:
                path.mkdir()
                for number, item in enumerate(part):
                    keys = list(item)
                    chance.shuffle(keys)
                    text = json.dumps(
                        {key: item[key] for key in keys}, indent=chance.choice([0, 4])
                    )
                    (path / f"{number}.json").write_text(text)
        paths.append(str(path))
    chance.shuffle(paths)
    return paths
