"""A file of a folder changes, as `apply --watch` meets it: `python -m benches.folders`.

In: numbers of policies on the node of `node_cluster`, 10,000 pods; a file for each policy, one for
the pods of each namespace, one for the rest. Out: rows of CPU time, user and system, of all
processes, from the files to the kernel: what follows the folder (`follow`) against what reads and
compiles all of it, in two network namespaces, in turns. With `--no-verify`, and proven before and
after as `--watch` does unless told. Refused: a change that does not go as a delta, and one that is
not followed. Needs what `tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from benches.timing import HEADER, Ratio, timed_whole
from benches.updates import changes
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.backends.nft import Options
from netpolc.backends.nft.rollout.loader import Via
from netpolc.cli.enforce.application import Application, Wanted
from netpolc.cli.options import Reading
from tests.helpers.lab import Router

Manifest = dict[str, Any]


def file_of(own: Manifest) -> str:
    """Where an object is."""
    metadata = own["metadata"]
    if own["kind"] == "NetworkPolicy":
        return f"policy-{metadata['namespace']}-{metadata['name']}.json"
    return f"pods-{metadata['namespace']}.json" if own["kind"] == "Pod" else "cluster.json"


class Folder:
    """A folder with a cluster in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._texts: dict[str, str] = {}

    def hold(self, objects: list[Manifest]) -> int:
        """Have these objects in it; how many files were written."""
        files: dict[str, list[Manifest]] = {}
        for own in objects:
            files.setdefault(file_of(own), []).append(own)
        written = 0
        for name, items in files.items():
            text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
            if self._texts.get(name) != text:
                (self.path / name).write_text(text)
                self._texts[name] = text
                written += 1
        return written


def application(router: Router, path: Path, proves: bool) -> Application:
    """What `apply --watch` runs, with its table loaded."""
    wanted = Wanted(
        node=LOCAL_NODE,
        all_pods=False,
        chosen=Options(),
        proves=proves,
        save=None,
        confirm=None,
        flush_conntrack=False,
        allow_empty=False,
        watch=True,
    )
    reading = Reading("current", True, False).around_odd()
    made = Application((str(path),), reading, Via.NETLINK, wanted)
    router.call(lambda: made.kernel)
    made.watched()
    return made


def rows(policies: int, rounds: int, proves: bool) -> Iterator[str]:
    """A row a change."""
    objects = json.loads(cached_node_cluster(policies).read_bytes())["items"]
    every = changes(objects)
    for name in ("a pod elsewhere", "a pod relabelled", "a policy changed"):
        with TemporaryDirectory() as path, Router() as router, Router() as other:
            folder = Folder(Path(path))
            folder.hold(copy.deepcopy(objects))
            own, whole = (application(one, folder.path, proves) for one in (router, other))
            own.follow()
            found = []
            for number in range(2 * rounds + 2):
                if folder.hold(objects if number % 2 else every[name]) != 1:
                    raise ValueError("more than one file is another")
                spent = [timed_whole(one.watched) for one in (own, whole)]
                texts = {text.replace("nothing to change in", "updated") for _, text in spent}
                if len(texts) != 1 or "updated" not in spent[0][1]:
                    raise ValueError(f"not followed, or no delta: {spent}")
                found.append((spent[0][0], spent[1][0]))
        title = f"{policies} policies: one file, {name}{', proven' if proves else ''}"
        yield Ratio(title, "the whole folder", tuple(found[2:]), "" if proves else "<= 0.2").row()


@click.command()
@click.option("--policies", default="820", show_default=True, help="Policies of the node.")
@click.option("--rounds", default=3, show_default=True, help="There and back of every row.")
@click.option("--proven/--not-proven", default=True, help="Also with a proof of each ruleset.")
def main(policies: str, rounds: int, proven: bool) -> None:
    """Print the rows as a Markdown table."""
    print(HEADER)
    for count in map(int, policies.split(",")):
        for proves in (False, True) if proven else (False,):
            for row in rows(count, rounds, proves):
                print(row, flush=True)


if __name__ == "__main__":
    main()
