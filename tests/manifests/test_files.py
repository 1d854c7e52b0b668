"""Which files are read, in which order, and what of files that are broken or change.

In: folders, links, files that are written while they are read. Out: documents in a stable order,
each once; refusals.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import netpolc
from netpolc import manifests
from netpolc.core.errors import Problems
from netpolc.manifests import Document
from tests.cli.invocation import invoke
from tests.manifests.reading import OBJECT, loaded, refused, written


def test_what_cannot_be_read_is_told_first(tmp_path: Path) -> None:
    wrong = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "A"}}
    (tmp_path / "a.json").write_text(json.dumps(wrong))
    (tmp_path / "b.json").write_text('{"apiVersion": "v1", }')
    with pytest.raises(netpolc.InputError) as caught:
        netpolc.load([str(tmp_path)])
    places = [own.place for own in caught.value.diagnostics]
    assert places == [f"{tmp_path}/b.json:1:20", f"{tmp_path}/a.json:1:58"]


def names(folder: Path, documents: list[Document]) -> list[str]:
    return [document.source.place().removeprefix(f"{folder}/") for document in documents]


def test_files_are_read_in_order_and_once(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "A.JSON", "c/z.yaml", "c/d/y.json", "B.YAML"):
        text = json.dumps({"apiVersion": "v1", "kind": "Pod"}) if "J" in name.upper() else OBJECT
        written(tmp_path, name, text)
    for name in (".hidden.yaml", ".git/a.yaml", "notes.txt", "yaml", "a.yaml.bak"):
        written(tmp_path, name, "{")
    expected = ["A.JSON", "B.YAML", "a.yml", "b.yaml", "c/d/y.json", "c/z.yaml"]
    expected = [f"{name}:1:1" for name in expected]
    assert names(tmp_path, loaded(tmp_path)) == expected
    assert names(tmp_path, loaded(tmp_path, tmp_path / "b.yaml", f"{tmp_path}/c")) == expected
    assert names(tmp_path, loaded(f"{tmp_path}/b.yaml", tmp_path)) == [
        "b.yaml:1:1",
        *(name for name in expected if name != "b.yaml:1:1"),
    ]


def test_hidden_files_are_read_when_they_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, ".hidden/.a.yaml", OBJECT)
    assert len(loaded(path)) == 1
    assert refused(tmp_path) == [f"{tmp_path}: holds no .yaml, .yml or .json file"]


def test_links_to_folders_elsewhere_are_told(tmp_path: Path) -> None:
    folder, other = tmp_path / "k8s", tmp_path / "other"
    for own in (folder / "inside", other):
        own.mkdir(parents=True)
        (own / "pod.yaml").write_text(
            f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {own.name}}}\n"
        )
    (folder / "away").symlink_to(other)
    (folder / "near").symlink_to("inside")
    (folder / "back").symlink_to(tmp_path / "k8s")
    snapshot = netpolc.load([folder])
    assert [pod.name for pod in snapshot.cluster.pods] == ["inside"]
    assert snapshot.not_followed == (str(folder / "away"),)
    said = f"not followed: {folder / 'away'} is a link to a folder"
    for command in ("list", "compile"):
        assert said in invoke(command, str(folder)).stderr
    assert netpolc.load([folder, folder / "away"]).not_followed == ()


def test_links_are_followed_once(tmp_path: Path) -> None:
    written(tmp_path, "real/a.yaml", OBJECT)
    (tmp_path / "b.yaml").symlink_to("real/a.yaml")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(loaded(tmp_path)) == 1
    assert len(loaded(tmp_path / "b.yaml", tmp_path / "real")) == 1


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """The kubelet's layout: hidden folders with the data, links beside them."""
    written(tmp_path, "..2024_01_01/policy.yaml", OBJECT)
    (tmp_path / "..data").symlink_to("..2024_01_01")
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    assert len(loaded(tmp_path)) == 1


def test_one_broken_file_does_not_hide_the_next(tmp_path: Path) -> None:
    written(tmp_path, "a.yaml", "a: [")
    written(tmp_path, "b.json", "{")
    written(tmp_path, "c.yaml", OBJECT)
    found = refused(tmp_path)
    assert [text.partition(":")[0] for text in found] == [
        f"{tmp_path}/a.yaml",
        f"{tmp_path}/b.json",
    ]


def test_files_that_change_while_they_are_read_are_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second half of a file comes while the first is read; a third file comes in between."""
    file, late = tmp_path / "a.yaml", tmp_path / "b.yaml"
    text = "apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n---\n"
    file.write_text(text)
    read, readings = manifests.File.read, []

    def disturbed(self: manifests.File) -> bytes:
        data = read(self)
        readings.append(self.name)
        if len(readings) == 1:
            file.write_text(text + text.replace("one", "two"))
            late.write_text(text.replace("one", "three"))
        return data

    monkeypatch.setattr(manifests.File, "read", disturbed)
    problems = Problems()
    assert len(list(manifests.read([str(tmp_path)], problems))) == 3
    assert readings == [str(file), str(file), str(late)]
    assert problems.diagnostics == []


def test_files_that_go_on_changing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: one}\n")
    read = manifests.File.read

    def disturbed(self: manifests.File) -> bytes:
        data = read(self)
        file.write_bytes(data + b"#")
        return data

    monkeypatch.setattr(manifests.File, "read", disturbed)
    problems = Problems()
    assert list(manifests.read([str(tmp_path)], problems)) == []
    assert [own.message for own in problems.diagnostics] == ["changed during each of 5 readings"]
