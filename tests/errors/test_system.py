"""When the system says no: unwritable outputs, no permission, no libnftables, unreadable input.

In: a small snapshot. Out: exit code 3 (2 where the input is at fault), a message that says what to
do, nothing written, nothing loaded, no traceback.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from netpolc.backends.nft.rollout.libnftables import session
from netpolc.cli.enforce.watch import keep_applied
from netpolc.core.errors import SystemRefusal
from tests.cli.invocation import NOBODY, as_user, invoke, program, run

NODE = (Path(__file__).parent / "complete.yaml").read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder everyone may enter, with one manifest everyone may read."""
    for path in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        path.chmod(0o755)
    (tmp_path / "node.yaml").write_text(NODE)
    (tmp_path / "node.yaml").chmod(0o644)
    return tmp_path


def nobody_can_run() -> bool:
    if os.geteuid() != 0:
        return False
    command = as_user(NOBODY, program(), "--version")
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


unprivileged = pytest.mark.skipif(
    not nobody_can_run(), reason="needs root, and a netpolc that `nobody` can read"
)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("missing/out.nft", "No such file or directory"),
        ("node.yaml/out.nft", "Not a directory"),
        ("/proc/netpolc.nft", "No such file or directory"),
        ("/dev/full", "No space left on device"),
        (".", "Is a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_an_unwritable_file_is_exit_code_3(target: str, reason: str, folder: Path) -> None:
    outcome = run("compile", "node.yaml", "--file", target, cwd=folder)
    assert outcome.stderr == f"netpolc: cannot write {target}: {reason}\n"
    assert (outcome.code, outcome.stdout) == (3, "")
    assert [path.name for path in folder.iterdir()] == ["node.yaml"]


@pytest.mark.parametrize("target", ["node.yaml", "node.yaml/below", "/proc/netpolc"])
def test_an_unwritable_folder_is_exit_code_3(target: str, folder: Path) -> None:
    outcome = run("compile", "node.yaml", "--all-nodes", "--file", target, cwd=folder)
    assert outcome.stderr.startswith(f"netpolc: cannot write {target}: ")
    assert (outcome.code, outcome.stdout) == (3, "")
    assert (folder / "node.yaml").read_text() == NODE


def test_a_full_standard_output_is_exit_code_3(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [program(), "compile", "node.yaml"],
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 3
    assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_is_no_traceback(folder: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f"'{program()}' compile node.yaml | head -c 1"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"#", b"")


@unprivileged
def test_writing_where_one_may_not_is_exit_code_3(folder: Path) -> None:
    (folder / "out").mkdir(mode=0o755)
    (folder / "out" / "old.nft").write_text("old\n")
    for arguments in (
        ["out/new.nft"],
        ["out/old.nft"],
        ["out", "--all-nodes"],
    ):
        outcome = run("compile", "node.yaml", "--file", *arguments, cwd=folder, user=NOBODY)
        assert outcome.stderr == f"netpolc: cannot write {arguments[0]}: Permission denied\n"
        assert (outcome.code, outcome.stdout) == (3, "")
    assert (folder / "out" / "old.nft").read_text() == "old\n"
    assert len(list((folder / "out").iterdir())) == 1


@unprivileged
@pytest.mark.parametrize(
    "arguments",
    [
        ["apply", "node.yaml", "--node", "node-a"],
        ["apply", "node.yaml", "--node", "node-a", "--dry-run"],
        ["status"],
        ["delete"],
    ],
    ids=" ".join,
)
def test_the_kernel_commands_need_root_and_say_so(arguments: list[str], folder: Path) -> None:
    outcome = run(*arguments, cwd=folder, user=NOBODY)
    assert (outcome.code, outcome.stdout) == (3, "")
    last = outcome.stderr.splitlines()[-1]
    assert last.startswith("netpolc: ")
    assert "root" in last


@unprivileged
def test_an_unreadable_file_is_named(folder: Path) -> None:
    (folder / "secret.yaml").write_text(NODE)
    (folder / "secret.yaml").chmod(0)
    for given in ("secret.yaml", "."):
        outcome = run("compile", given, cwd=folder, user=NOBODY)
        name = os.path.join(given, "secret.yaml") if given == "." else given
        why = f"it is user 0's with mode 0000, and this is user {NOBODY}"
        assert outcome.stderr == f"{name}: Permission denied: {why}\nnetpolc: 1 error\n"
        assert (outcome.code, outcome.stdout) == (2, "")


@unprivileged
@pytest.mark.parametrize("given", [".", "locked"])
def test_an_unreadable_folder_is_named(given: str, folder: Path) -> None:
    """Passing over it would leave out policies in silence."""
    (folder / "locked").mkdir(mode=0o700)
    (folder / "locked" / "policy.yaml").write_text(NODE)
    outcome = run("compile", given, cwd=folder, user=NOBODY)
    why = f"it is user 0's with mode 0700, and this is user {NOBODY}"
    assert f"locked: Permission denied: {why}\n" in outcome.stderr
    assert outcome.code == 2


@unprivileged
def test_root_without_the_right_to_read_everything_is_told_so(folder: Path) -> None:
    """As contrib's service runs; manifests of 0600 that an administrator copied are then closed."""
    (folder / "node.yaml").chmod(0o600)
    os.chown(folder / "node.yaml", NOBODY, NOBODY)
    bounded = ["setpriv", "--bounding-set", "-all,+net_admin", "--no-new-privs"]
    command = [*bounded, program(), "compile", "node.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    why = f"it is user {NOBODY}'s with mode 0600, and this is user 0 without CAP_DAC_OVERRIDE"
    assert done.stderr == f"node.yaml: Permission denied: {why}\nnetpolc: 1 error\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply", "node.yaml", "--node", "node-a", "--via", "nft"],
        ["status", "--via", "nft"],
        ["verify", "node.yaml", "--node", "node-a", "--via", "nft"],
    ],
    ids=lambda arguments: f"{arguments[0]} {arguments[-1]}",
)
def test_without_the_binding_the_message_says_what_to_install(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "nftables", None)
    monkeypatch.setattr(session, "_PLACES", (str(folder / "no-packages"),))
    outcome = invoke(*arguments)
    assert (outcome.code, outcome.stdout) == (3, "")
    for words in ("apt install python3-nftables", "dnf install", "apk add py3-nftables"):
        assert words in outcome.stderr


@pytest.mark.parametrize("arguments", [["status"], ["status", "--counters"], ["delete"]])
def test_what_only_reads_needs_no_binding(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nftables", None)
    monkeypatch.setattr(session, "_PLACES", (str(folder / "no-packages"),))
    outcome = invoke(*arguments, "--table", "netpolc_nowhere")
    assert "is not loaded" in outcome.stdout + outcome.stderr
    assert outcome.code in (0, 1)


def test_without_the_library_the_message_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = folder / "packages" / "nftables"
    package.mkdir(parents=True)
    text = "class Nftables:\n    def __init__(self):\n        raise OSError('libnftables.so.1')\n"
    (package / "__init__.py").write_text(text)
    # Both, so that the made-up module is forgotten afterwards whether or not one was there.
    monkeypatch.setitem(sys.modules, "nftables", None)
    monkeypatch.delitem(sys.modules, "nftables")
    monkeypatch.syspath_prepend(str(package.parent))
    outcome = invoke("status", "--via", "nft")
    assert outcome.code == 3
    assert "apt install python3-nftables" in outcome.stderr
    assert "libnftables.so.1" in outcome.stderr


def test_compiling_needs_no_binding(folder: Path) -> None:
    (folder / "nftables.py").write_text("raise ImportError('no binding here')\n")
    environment = {"PYTHONPATH": str(folder)}
    outcome = run("compile", "node.yaml", cwd=folder, environment=environment)
    assert (outcome.code, outcome.stderr) == (0, "")


def test_paths_that_are_not_there_are_all_named(folder: Path) -> None:
    (folder / "empty" / ".hidden").mkdir(parents=True)
    (folder / "empty" / ".hidden" / "a.yaml").write_text(NODE)
    (folder / "empty" / "notes.txt").write_text("no manifest")
    outcome = run("compile", "missing.yaml", "empty", "node.yaml/x", cwd=folder)
    assert outcome.stderr == (
        "missing.yaml: No such file or directory\n"
        "empty: holds no .yaml, .yml or .json file\n"
        "node.yaml/x: Not a directory\n"
        "netpolc: 3 errors\n"
    )
    assert (outcome.code, outcome.stdout) == (2, "")


def test_a_dangling_link_in_a_folder_is_named(folder: Path) -> None:
    (folder / "gone.yaml").symlink_to("nowhere.yaml")
    outcome = run("compile", ".", cwd=folder)
    assert outcome.stderr == "./gone.yaml: No such file or directory\nnetpolc: 1 error\n"
    assert outcome.code == 2


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n---\n", "null\n", "\ufeff"])
def test_files_without_objects_are_refused(text: str, folder: Path) -> None:
    """Nothing at all is more often a lost file than an empty cluster."""
    (folder / "none.yaml").write_text(text)
    outcome = run("compile", "none.yaml", "--file", "out.nft", cwd=folder)
    assert outcome.stderr.startswith("none.yaml: ")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert not (folder / "out.nft").exists()


def test_a_pipe_without_objects_is_refused() -> None:
    assert run("compile", "-", stdin=b"").code == 2


def test_without_the_extra_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "inotify_simple", None)
    with pytest.raises(SystemRefusal, match=r"is missing: pip install 'netpolc\[node\]'"):
        keep_applied([str(Path(__file__).parent)], lambda: "")
