"""Locks in /run/netpolc: one writer at a time, readers that need none, nothing left behind.

In: processes that lock at the same time, locks of processes that were killed, a /run that cannot be
written. Out: who waits for whom, what is said, which files are left.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from threading import Thread

import pytest

from netpolc.backends.nft.netlink.reading.listing import Inspector
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.core.errors import SystemRefusal
from tests.cli.invocation import NOBODY
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import THREE_TIER, netpolc

pytestmark = pytest.mark.kernel
NODE = (THREE_TIER, "--node", "node-a")
COUNTS = """
import sys
from pathlib import Path
from netpolc.backends.nft.rollout import runtime

runtime.FOLDER = Path(sys.argv[1])
count = runtime.FOLDER / "count"
for _ in range(200):
    with runtime.lock("netpolc"):
        count.write_text(str(int(count.read_text()) + 1))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(runtime, "FOLDER", tmp_path / "netpolc")
    return tmp_path / "netpolc"


def test_one_writer_at_a_time_though_the_file_comes_and_goes(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("0")
    command = [sys.executable, "-c", COUNTS, str(tmp_path)]
    for process in [subprocess.Popen(command, cwd=ROOT) for _ in range(4)]:
        assert process.wait() == 0
    assert (tmp_path / "count").read_text() == "800"
    assert os.listdir(tmp_path) == ["count"]


def test_locks_that_nobody_holds_are_removed_and_others_stay(folder: Path) -> None:
    folder.mkdir()
    (folder / "netpolc-4026530000.lock").touch()
    (folder / "previous-0123456789abcdef.nft").touch()
    with (folder / "netpolc-4026530001.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with runtime.lock("netpolc"):
            own = os.stat("/proc/thread-self/ns/net").st_ino
            assert f"netpolc-{own}.lock" in os.listdir(folder)
        left = ["netpolc-4026530001.lock", "previous-0123456789abcdef.nft"]
        assert sorted(os.listdir(folder)) == left


def test_a_lock_that_was_handed_on_is_held_when_its_owner_lets_go(folder: Path) -> None:
    with runtime.lock("netpolc") as descriptor:
        handed = os.dup(descriptor)
    assert len(os.listdir(folder)) == 1
    with (folder / os.listdir(folder)[0]).open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(handed)
    with runtime.lock("netpolc"):
        pass
    assert os.listdir(folder) == []


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir()
    (tmp_path / "precious").write_text("mine")
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    (folder / f"netpolc-{namespace}.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(SystemRefusal, match="cannot lock"), runtime.lock("netpolc"):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    ("obstacle", "why"),
    [
        (lambda folder: folder.write_text("a file"), "is no folder$"),
        (
            lambda folder: (
                folder / f"netpolc-{os.stat('/proc/thread-self/ns/net').st_ino}.lock"
            ).mkdir(parents=True),
            "Is a directory$",
        ),
    ],
    ids=["file", "directory"],
)
def test_what_is_in_the_way_is_named(obstacle: object, why: str, folder: Path) -> None:
    obstacle(folder)  # type: ignore[operator]
    with pytest.raises(SystemRefusal, match=why), runtime.lock("netpolc"):
        pass


def test_only_who_is_not_root_is_told_to_be(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    for path in (folder.parent, folder.parent.parent, folder.parent.parent.parent):
        path.chmod(0o755)
    script = "import sys; from pathlib import Path\n"
    script += "from netpolc.backends.nft.rollout import runtime\n"
    script += "runtime.FOLDER = Path(sys.argv[1])\nwith runtime.lock('netpolc'): pass"
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, user=NOBODY, check=False
    )
    assert "belongs to another user (0); root is needed" in done.stderr


READ_ONLY = 'mount -t tmpfs -o ro none /run && exec "$@"'


def read_only(router: Router, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that finds a /run it cannot write."""
    netpolc = [sys.executable, "-m", "netpolc", *arguments]
    command = ["unshare", "--mount", "sh", "-ec", READ_ONLY, "sh", *netpolc]
    return router.call(lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT))


def test_reading_needs_no_writable_run(router: Router) -> None:
    assert netpolc(router, "apply", *NODE).returncode == 0
    for arguments in (
        ("status", *NODE),
        ("status", "--counters"),
        ("verify", *NODE),
    ):
        done = read_only(router, *arguments)
        assert (done.returncode, done.stderr) == (0, "")
    refused = read_only(router, "apply", *NODE)
    assert refused.returncode == 3
    assert "Read-only file system" in refused.stderr
    assert "root is needed" not in refused.stderr


def test_reading_waits_for_no_writer(router: Router) -> None:
    assert netpolc(router, "apply", *NODE).returncode == 0
    kernel = router.call(Kernel)
    held = router.call(lambda: kernel.locked("netpolc"))
    router.call(held.__enter__)
    try:
        assert netpolc(router, "status").returncode == 0
        assert netpolc(router, "verify", *NODE).returncode == 0
    finally:
        router.call(lambda: held.__exit__(None, None, None))


def test_a_reading_is_made_again_when_its_table_changed_meanwhile(router: Router) -> None:
    router.load("add table inet netpolc")
    generation = router.call(Generation)
    readings: list[bool] = []

    def read() -> bool:
        before = "chain c" in router.ruleset()
        if len(readings) < 3:
            router.load("add table inet other; delete table inet other")
            router.load("add chain inet netpolc c")
        readings.append(before)
        return before

    assert generation.consistent(read, "netpolc") is True
    assert readings == [False, True, True, True]  # what is there already changes nothing

    again = "add counter inet netpolc x; delete counter inet netpolc x"
    with pytest.raises(SystemRefusal, match="changed during each of"):
        generation.consistent(lambda: router.load(again), "netpolc")


def test_a_reading_meets_no_half_of_a_commit(router: Router) -> None:
    """The kernel takes over the elements of interval sets at the end of a commit, long after it
    tells the new generation; here many other elements are to be deleted in between.
    """

    def text(state: int) -> str:
        blocks = ", ".join(f"10.{state}.{n}.0/25 . tcp" for n in range(40))
        single = ", ".join(f"11.{state}.{n // 200}.{n % 200}" for n in range(6000))
        sets = {"blocks": blocks, "single": single}
        return "\n".join(
            f"flush set inet netpolc {name}\nadd element inet netpolc {name} {{ {own} }}"
            for name, own in sets.items()
        )

    def write() -> None:
        for number in range(60):
            router.load(text(number % 2))

    router.load("add table inet netpolc")
    kinds = {"blocks": "ipv4_addr . inet_proto; flags interval", "single": "ipv4_addr"}
    for name, kind in kinds.items():
        router.load(f"add set inet netpolc {name} {{ type {kind}; }}")
    router.load(text(0))
    generation, wire = router.call(lambda: (Generation(), Wire()))
    read = partial(Inspector(wire).named, "netpolc", "blocks")
    found: list[list[bytes]] = []

    def look() -> None:
        own = generation.consistent(read, "netpolc", passing=(OSError,), wire=wire)
        assert own is not None
        found.append([*own.keys, *(element.key for element in own.elements)])

    look()
    writer = Thread(target=write)
    writer.start()
    while writer.is_alive():
        look()
    look()
    assert {len(keys) for keys in found} == {40}
    assert {tuple({key[1] for key in keys}) for keys in found} == {(0,), (1,)}


def test_a_generation_that_is_told_before_its_commit_is_over_is_waited_for(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a commit begins after one was awaited: its generation is told, and half of it."""
    generation = router.call(Generation)
    told, waited = [7, 8, 8, 8], []
    monkeypatch.setattr(generation, "read", lambda: told.pop(0))
    monkeypatch.setattr(generation._wire, "await_commits", lambda: waited.append(told[0]))
    assert generation.consistent(lambda: len(waited), "netpolc") == 2
    assert (told, waited) == ([], [8, 8])


def test_changes_of_other_tables_keep_nobody_from_reading(router: Router) -> None:
    router.load("add table inet netpolc")
    generation = router.call(Generation)
    readings: list[int] = []

    def read() -> int:
        readings.append(len(readings))
        router.load("add table inet other; add table ip netpolc; delete table ip netpolc")
        router.load("delete table inet other")
        return len(readings)

    assert generation.consistent(read, "netpolc") == 2  # once to meet them, once heard out
    assert generation.consistent(lambda: generation.consistent(read, "netpolc"), "netpolc") == 5


def test_a_reading_that_is_refused_while_nobody_changes_its_table_is_refused(
    router: Router,
) -> None:
    router.load("add table inet netpolc")
    generation = router.call(Generation)

    def read() -> None:
        router.load("add table inet other; delete table inet other")
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        generation.consistent(read, "netpolc", passing=(OSError,))
