"""Folders that change: what differs makes the ruleset that a compilation of the whole folder has.

In: a folder of manifests in YAML and JSON, edited at random: objects that come, go and change, move
to other files, and are spoiled for a while. Out: the ruleset of `FollowedFolders`, against
`netpolc.load` of the folder at each step; nothing where that refuses, or has anything to say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

import netpolc
from netpolc.backends.nft import Options, Ruleset
from netpolc.cli.enforce.followed import FollowedFolders
from netpolc.cli.host import on_this_host
from netpolc.cli.options import Reading
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import InputError
from netpolc.live.files import NotPlain, ReadFiles
from netpolc.manifests import File
from tests.helpers.events import Happening
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

EDITS = int(os.environ.get("NETPOLC_EVENTS", "300"))
FILES = 7
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Nobody:
    """Hears of events that the folder alone tells."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Folder:
    """A folder that has the objects of a `Happening`, in files chosen by chance."""

    def __init__(self, path: Path, chance: Random, happening: Happening) -> None:
        self.path, self._chance, self.happening = path, chance, happening
        self._place: dict[tuple[str, str, str], int] = {}
        self._written: dict[Path, str] = {}
        self.spoiled = 0

    def edit(self) -> str:
        """Some events, a move to another file, or a file that is spoiled for a while."""
        chance, told = self._chance, list[str]()
        told += [self.happening.event(_Nobody()) for _ in range(chance.choice([1, 1, 1, 2, 5]))]
        if chance.random() < 0.1 and self._place:
            self._place[chance.choice(list(self._place))] = chance.randrange(FILES)
            told.append("an object moves")
        self.spoiled = chance.randint(1, 6) if chance.random() < 0.2 else 0
        self.write()
        return f"{told}, spoiled {self.spoiled}"

    def write(self) -> None:
        """Write what differs."""
        several: list[list[Manifest]] = [[] for _ in range(FILES)]
        for key, own in self.happening.objects.items():
            several[self._place.setdefault(key, self._chance.randrange(FILES))].append(own)
        for number, objects in enumerate(several):
            if number == 0:
                objects = [*objects, *self._more(several)]
            name = f"{number}.{'json' if number % 3 else 'yaml'}"
            if number % 3:
                text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}, indent=1)
            else:
                text = yaml.dump_all(objects, Dumper=DUMPER)
            if number == 0 and self.spoiled == 5:
                text += "\nkind: [Broken"
            self._put(self.path / name, text)
        extra = self.path / "extra.yaml"
        if self.spoiled == 6:
            self._put(extra, "just: values\n")
        elif extra.exists():
            extra.unlink()
            del self._written[extra]

    def _more(self, several: list[list[Manifest]]) -> list[Manifest]:
        """Objects that only a reading of the whole folder can judge."""
        if self.spoiled == 1:  # a second one of its name, elsewhere
            return several[1][:1]
        if self.spoiled == 2:  # a kind that no policy sees
            spec: Manifest = {"ports": [{"port": 80}]}
            metadata = {"name": "web", "namespace": "space-1"}
            return [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}]
        if self.spoiled == 3:  # an object that is odd
            return [policy("space-1/odd", policyTypes=["Sideways"])]
        if self.spoiled == 4:
            spec = {"endpointSelector": {}}
            metadata = {"name": "other", "namespace": "space-1"}
            kind = {"apiVersion": "cilium.io/v2", "kind": "CiliumNetworkPolicy"}
            return [{**kind, "metadata": metadata, "spec": spec}]
        return []

    def _put(self, path: Path, text: str) -> None:
        if self._written.get(path) != text:
            self._written[path] = text
            path.write_text(text)


def afresh(path: Path, chosen: Options) -> tuple[Snapshot, Ruleset]:
    """What a compilation of the folder has."""
    snapshot = netpolc.load([path], odd_objects="isolate")
    program = netpolc.compile(on_this_host(snapshot, "node-a"))
    return snapshot, program.ruleset("node-a", chosen)


def followed(path: Path, chosen: Options | None = None, **reading: Any) -> FollowedFolders:
    how = Reading("current", True, False, odd_objects="isolate", **reading)
    return FollowedFolders((str(path),), how, "node-a", chosen or Options())


def agree(own: FollowedFolders, path: Path, chosen: Options) -> bool:
    """Whether it has a ruleset, which is then that of a compilation that has nothing to say."""
    found = own.current("node-a")
    try:
        snapshot, ruleset = afresh(path, chosen)
    except InputError:
        assert found is None
        return False
    if found is None:
        return False
    assert found.ruleset.text() == ruleset.text()
    assert found.ruleset.digest == ruleset.digest
    assert found.ruleset.owners.notes == ruleset.owners.notes
    assert found.ruleset.owners.local == ruleset.owners.local
    noticed = (snapshot.warnings, snapshot.ignored, snapshot.odd, snapshot.passed_over)
    assert not any(noticed)
    return True


@pytest.mark.parametrize(
    ("seed", "calm", "chosen"),
    [
        (1, True, Options()),
        (2, False, Options(established="recheck")),
        (3, True, Options(pending="deny", pod_cidrs=("10.0.0.0/22",))),
    ],
)
def test_any_edits(tmp_path: Path, seed: int, calm: bool, chosen: Options) -> None:
    chance = Random(seed)
    folder = Folder(tmp_path, chance, Happening(chance, 60, 10, calm=calm))
    folder.write()
    own = followed(tmp_path, chosen)
    told: list[str] = []
    followed_edits = 0
    for number in range(EDITS // 3):
        told.append(folder.edit())
        try:
            followed_edits += agree(own, tmp_path, chosen)
        except AssertionError as error:
            error.add_note(f"edit {number}, after {told[-3:]}")
            raise
    assert followed_edits > EDITS // (6 if calm else 30)


OBJECTS = [
    namespace("shop", team="a"),
    node("node-a", "192.0.2.1"),
    pod("shop/db", "10.0.0.2", app="db"),
    pod("shop/web", "10.0.0.1", app="web"),
]
POLICY = policy("shop/db", podSelector={"matchLabels": {"app": "db"}}, ingress=[])


def written(path: Path) -> Path:
    (path / "objects.json").write_text(json.dumps({"kind": "List", "items": OBJECTS}))
    (path / "policy.json").write_text(json.dumps(POLICY))
    return path


def test_a_file_is_not_believed_by_its_dates_and_size(tmp_path: Path) -> None:
    own = followed(written(tmp_path))
    before = own.current("node-a")
    file = tmp_path / "policy.json"
    status = file.stat()
    with file.open("r+") as out:
        out.write(json.dumps(POLICY).replace('"db"}}', '"we"}}'))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = own.current("node-a")
    assert before is not None
    assert after is not None
    assert file.stat().st_size == status.st_size
    assert after.ruleset.text() != before.ruleset.text()
    assert after.ruleset.text() == afresh(tmp_path, Options())[1].text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Kustomization", "resources: []"),
        ("Chart.yaml", "name: chart"),
        ("broken.yaml", "kind: ["),
        ("values.yaml", "replicas: 2"),
        ("twice.json", json.dumps(POLICY)),
        ("nobody.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-, namespace: shop}"),
        ("dup.json", '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", '
         '"name": "x"}}'),
        ("old.json", json.dumps({**POLICY, "apiVersion": "networking.k8s.io/v9"})),
        ("homeless.json", json.dumps(pod("shop/lost", "10.0.0.9", on="", app="db"))),
    ],
)  # fmt: skip
def test_what_only_a_whole_reading_can_say_is_left_to_it(
    tmp_path: Path, name: str, text: str
) -> None:
    own = followed(written(tmp_path))
    assert own.current("node-a") is not None
    (tmp_path / name).write_text(text)
    assert own.current("node-a") is None
    (tmp_path / name).unlink()
    assert agree(own, tmp_path, Options())


def test_nobody_is_isolated_by_a_folder_without_policies_or_pods(tmp_path: Path) -> None:
    own = followed(written(tmp_path))
    assert own.current("node-a") is not None
    (tmp_path / "policy.json").unlink()
    assert own.current("node-a") is None


def test_another_node_is_left_to_a_whole_reading(tmp_path: Path) -> None:
    own = followed(written(tmp_path))
    assert own.current("node-b") is None
    assert own.current(None) is None  # this host is none of the cluster's nodes
    (tmp_path / "objects.json").write_text(json.dumps({"kind": "List", "items": OBJECTS[2:3]}))
    assert own.current("node-a") is not None  # its pod says that there is such a node


@pytest.mark.parametrize(
    ("labelled", "spoiled"),
    [
        (True, pod("shop/lost", "10.0.0.9", on="", app="db")),  # every node judges it
        (True, pod("shop/twin", "10.0.0.1", app="twin")),  # an address of two
        (True, pod("shop/gateway", "192.0.2.1", app="db")),  # or of a node
        (False, pod("lab/web", "10.0.0.9", app="db")),  # the policy asks for labels of lab
        (False, policy("shop/db", podSelector={"matchLabels": {"app": ["db"]}}, ingress=[])),
    ],
)
def test_what_an_object_has_to_say_beside_others_is_noticed(
    tmp_path: Path, labelled: bool, spoiled: Manifest
) -> None:
    own = followed(written(tmp_path))
    spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": []}
    if not labelled:
        spec |= {"subject": {"namespaces": {"matchLabels": {"team": "b"}}}}
    kind = {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy"}
    ordered = {**kind, "metadata": {"name": "first"}, "spec": spec}
    (tmp_path / "ordered.json").write_text(json.dumps(ordered))
    plain = pod("shop/other", "10.0.0.8", app="db")
    for one in (plain, spoiled, plain, spoiled):
        (tmp_path / "more.json").write_text(json.dumps(one))
        assert agree(own, tmp_path, Options()) is (one is plain)


def test_a_snapshot_is_of_its_moment(tmp_path: Path) -> None:
    own = followed(written(tmp_path))
    assert own.current("node-a") is not None
    (tmp_path / "more.json").write_text(json.dumps(pod("shop/other", "10.0.0.8", app="db")))
    found = own.current("node-a")
    (tmp_path / "more.json").unlink()
    assert own.current("node-a") is not None
    assert found is not None
    assert [one.name for one in found.snapshot().cluster.pods] == ["db", "other", "web"]


def test_only_what_differs_is_told() -> None:
    files = ReadFiles()
    first = [(File("a"), json.dumps(OBJECTS[2]).encode()), (File("b"), json.dumps(POLICY).encode())]
    assert files.changes(first).keys() == {("Pod", "shop", "db"), ("NetworkPolicy", "shop", "db")}
    assert files.changes(first) == {}
    moved = [(File("c"), first[0][1]), first[1]]
    (key,) = files.changes(moved)
    assert key == ("Pod", "shop", "db")
    with pytest.raises(NotPlain, match="two objects of one name"):
        files.changes([*moved, first[0]])
    assert files.changes(first[1:]) == {("Pod", "shop", "db"): None}
