"""Files in folders of others: nothing but what was asked for is written, or it is refused.

In: folders and links that belong to another user, and names that were taken before. Out: the file,
whole, or an error; what lies elsewhere is as it was.
"""

from __future__ import annotations

import ast
import os
import stat
from pathlib import Path

import pytest

import netpolc
from netpolc import files
from netpolc.backends.nft.rollout import runtime
from netpolc.core.errors import SystemRefusal
from tests.cli.invocation import NOBODY, run

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users: needs root")


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A file that nobody asked to write."""
    path = tmp_path / "precious"
    path.write_text("precious")
    return path


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A folder of another user."""
    path = tmp_path / "theirs"
    path.mkdir()
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    return path


def link(path: Path, target: Path, owner: int = NOBODY) -> None:
    """A link of another user."""
    path.symlink_to(target)
    os.chown(path, owner, owner, follow_symlinks=False)


def write(path: Path, text: str = "new") -> None:
    """A file as netpolc writes it."""
    with files.replacing(path) as out:
        out.write(text.encode())


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(ZeroDivisionError), files.replacing(path) as out:
        out.write(b"half" * (1 // (out.write(b"half") - 4)))
    assert list(tmp_path.iterdir()) == []
    write(path)
    assert (path.read_text(), list(tmp_path.iterdir())) == ("new", [path])


def test_the_mode_of_what_was_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    path.chmod(0o640)
    write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_own_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "way").symlink_to("folder")
    (tmp_path / "folder" / "link").symlink_to("../target")
    write(tmp_path / "way" / "link")
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "folder" / "link").is_symlink()


def test_a_ring_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        write(tmp_path / "a")


@as_root
@pytest.mark.parametrize("at", ["last", "folder", "further"])
def test_links_of_others_are_not_followed(at: str, theirs: Path, precious: Path) -> None:
    if at == "last":
        link(theirs / "a", precious)
        path = theirs / "a"
    elif at == "folder":
        link(theirs / "way", precious.parent)
        path = theirs / "way" / precious.name
    else:
        link(theirs / "a", precious)
        (precious.parent / "own").symlink_to(theirs / "a")
        path = precious.parent / "own"
    with pytest.raises(PermissionError, match="is a link of another user"):
        write(path)
    assert precious.read_text() == "precious"


@as_root
def test_names_of_temporary_files_cannot_be_taken(
    theirs: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even one that was guessed is not followed: it would have to be new."""
    names = {files.unguessable("a") for _ in range(1000)}
    assert len(names) == 1000
    monkeypatch.setattr(files, "unguessable", lambda name: "guessed")
    link(theirs / "guessed", precious)
    with pytest.raises(FileExistsError):
        write(theirs / "a")
    assert precious.read_text() == "precious"


@as_root
def test_a_folder_changed_under_the_writer_leads_nowhere_else(theirs: Path, tmp_path: Path) -> None:
    """Its owner puts a link to another folder in its place while the file is being written."""
    (tmp_path / "elsewhere").mkdir()
    with files.replacing(theirs / "a") as out:
        theirs.rename(tmp_path / "moved")
        link(theirs, tmp_path / "elsewhere")
        out.write(b"new")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert (tmp_path / "moved" / "a").read_text() == "new"


def test_scratch_folders_are_private_and_go(tmp_path: Path) -> None:
    with files.opened(str(tmp_path / "x" / "y")) as folder, files.scratch(folder) as made:
        found = os.fstat(made)
        assert stat.S_IMODE(found.st_mode) == 0o700
        with files.created(made, "a") as out:
            out.write(b"x")
        with pytest.raises(FileExistsError):
            files.created(made, "a")
    assert list((tmp_path / "x" / "y").iterdir()) == []


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_what_is_kept_is_not_kept_where_others_write(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "FOLDER", tmp_path / "run")
    runtime.FOLDER.mkdir()
    runtime.FOLDER.chmod(mode)
    with pytest.raises(SystemRefusal, match="others may write in"):
        runtime.keep("token", "table")
    with pytest.raises(SystemRefusal, match="others may write in"), runtime.lock("netpolc"):
        pass
    assert list(runtime.FOLDER.iterdir()) == []


@as_root
@pytest.mark.parametrize("what", ["folder", "link"])
def test_a_runtime_folder_of_somebody_is_not_believed(
    what: str, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = theirs
    if what == "link":
        path = tmp_path / "link"
        path.symlink_to(tmp_path / "theirs")
    monkeypatch.setattr(runtime, "FOLDER", path)
    with pytest.raises(SystemRefusal):
        runtime.keep("token", "table")
    with pytest.raises(SystemRefusal), runtime.lock("netpolc"):
        pass
    assert list(theirs.iterdir()) == []


def test_what_lies_at_a_lock_is_not_emptied(
    tmp_path: Path, precious: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "FOLDER", tmp_path / "run")
    runtime.FOLDER.mkdir(mode=0o700)
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    (runtime.FOLDER / f"netpolc-{namespace}.lock").symlink_to(precious)
    with pytest.raises(SystemRefusal), runtime.lock("netpolc"):
        pass
    assert precious.read_text() == "precious"


NODE = '{{"apiVersion": "v1", "kind": "Node", "metadata": {{"name": "{}"}}}}'


@pytest.mark.parametrize("impossible", ["long", "folder"])
def test_all_nodes_are_written_or_none_and_the_reason_is_named(
    impossible: str, tmp_path: Path
) -> None:
    long = ".".join(["a" * 60] * 4) + ".aaaaaaaa"  # a name of a node, too long for that of a file
    name = long if impossible == "long" else "b"
    nodes = ", ".join(NODE.format(own) for own in ("a", name, "c"))
    (tmp_path / "a.json").write_text(f'{{"apiVersion": "v1", "kind": "List", "items": [{nodes}]}}')
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.nft").write_text("old")
    if impossible == "folder":
        (tmp_path / "out" / "b.nft").mkdir()
    before = sorted(os.listdir(tmp_path / "out"))
    outcome = run("compile", "a.json", "--all-nodes", "--file", "out", cwd=tmp_path)
    why = "File name too long" if impossible == "long" else "Is a directory"
    assert outcome.stderr.endswith(f"netpolc: cannot write out: {name}.nft: {why}\n")
    assert outcome.code == 3
    assert sorted(os.listdir(tmp_path / "out")) == before
    assert (tmp_path / "out" / "a.nft").read_text() == "old"


def test_nothing_is_written_elsewhere() -> None:
    """`files` is the only module that makes files and folders."""
    makers = {
        "write_text", "write_bytes", "touch", "mkdir", "makedirs", "symlink_to", "mkstemp",
        "mkdtemp", "NamedTemporaryFile", "TemporaryDirectory", "O_EXCL", "O_TRUNC",
    }  # fmt: skip
    package = Path(netpolc.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text())
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & makers
        assert not used or path == package / "files.py", f"{path}: {used}"


def test_a_written_tree_has_no_link_that_leads_out_of_it(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    links = {"way": str(outside), "way/made": "a", "up": "../out", "near": "a", "deep/own": "../a"}
    files.write_tree(inside, {"a": b"1", "b/c": b"2"}, links)
    assert (inside / "a").read_bytes() == b"1"
    assert (inside / "b" / "c").read_bytes() == b"2"
    assert (inside / "near").read_bytes() == b"1"
    assert (inside / "deep" / "own").read_bytes() == b"1"
    assert not os.path.lexists(inside / "way")
    assert not os.path.lexists(inside / "up")
    assert os.listdir(outside) == []
