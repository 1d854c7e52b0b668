"""`apply --watch`: what makes it apply again, what it tells systemd, and how it ends.

In: a folder that changes, in the ways editors and deployments change folders; a stand-in for what
applies it once, in a process of its own. Out: how often it was applied, and what it saw.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from errno import EMFILE, ENOSPC
from pathlib import Path

import pytest

from tests.cli.invocation import invoke
from tests.helpers.scenarios import ROOT

READS_ALL = """
import sys
from pathlib import Path
from netpolc.cli.enforce.watch import keep_applied
from netpolc.core.errors import NetpolcError, SystemRefusal

def read() -> str:
    files = sorted(Path(sys.argv[1]).rglob("*.yaml"))
    said = " ".join(path.read_text() for path in files)
    print(said, flush=True)
    if "bad" in said:
        raise NetpolcError("this is bad")
    if "broken" in said:
        raise SystemRefusal("the kernel refused")
    return said

keep_applied([sys.argv[1]], read)
"""
SECONDS = 120


class Watch:
    """A running watch; `line` waits for what it says next, `told` for what systemd is told."""

    def __init__(self, folder: Path, notify: socket.socket) -> None:
        environment = {**os.environ, "NOTIFY_SOCKET": notify.getsockname()}
        self.process = subprocess.Popen(
            [sys.executable, "-c", READS_ALL, str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._notify = notify

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def told(self) -> str:
        return self._notify.recv(4096).decode()

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        """Exit code, and what was still to be read of both outputs."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, out, err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "one.yaml").write_text("one")
    return folder


@pytest.fixture
def watch(folder: Path, tmp_path: Path) -> Iterator[Watch]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(tmp_path / "notify"))
        notify.settimeout(SECONDS)
        watch = Watch(folder, notify)
        yield watch
        watch.process.kill()
        watch.process.communicate()


def test_it_tells_systemd_when_it_is_ready_and_ends_well(watch: Watch) -> None:
    assert watch.line() == "one"
    assert watch.told() == "READY=1\nSTATUS=one"
    assert watch.end(signal.SIGTERM) == (0, "", "")
    assert watch.told() == "STOPPING=1"


def _rename_over(folder: Path) -> None:
    (folder / ".one.tmp").write_text("two")
    (folder / ".one.tmp").replace(folder / "one.yaml")


def _write(folder: Path) -> None:
    (folder / "one.yaml").write_text("two")


def _swap_a_link(folder: Path) -> None:
    """As the kubelet publishes a ConfigMap."""
    (folder / ".v2").mkdir()
    (folder / ".v2" / "one.txt").write_text("two")
    (folder / "link").symlink_to(folder / ".v2" / "one.txt")
    (folder / "link").replace(folder / "one.yaml")


def _in_a_new_folder(folder: Path) -> None:
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "one.yaml").rename(folder / "deep" / "deeper" / "one.yaml")
    (folder / "deep" / "deeper" / "one.yaml").write_text("two")


@pytest.mark.parametrize("change", [_rename_over, _write, _swap_a_link, _in_a_new_folder])
def test_a_burst_of_changes_is_applied_once_and_whole(
    watch: Watch, folder: Path, change: Callable[[Path], None]
) -> None:
    assert watch.line() == "one"
    assert watch.told().startswith("READY=1")
    for number in range(50):
        (folder / f"{number}.yaml").write_text("x")
    change(folder)
    for number in range(50):
        (folder / f"{number}.yaml").unlink()
    assert watch.line() == "two"
    assert watch.told().startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert watch.told() == "READY=1\nSTATUS=two"
    assert watch.end(signal.SIGINT) == (0, "", "")


def test_new_folders_are_watched_too(watch: Watch, folder: Path) -> None:
    assert watch.line() == "one"
    (folder / "later").mkdir()
    assert watch.line() == "one"
    (folder / "later" / "two.yaml").write_text("two")
    assert watch.line() == "two one"
    (folder / "later" / "two.yaml").unlink()
    assert watch.line() == "one"


def test_bad_input_is_told_and_waited_out(watch: Watch, folder: Path) -> None:
    assert watch.line() == "one"
    assert watch.told().startswith("READY=1")
    (folder / "one.yaml").write_text("bad")
    assert watch.line() == "bad"
    assert watch.told().startswith("RELOADING=1")
    assert watch.told() == "READY=1\nSTATUS=refused: this is bad"
    (folder / "one.yaml").write_text("good")
    assert watch.line() == "good"
    assert watch.end(signal.SIGTERM) == (0, "", "netpolc: this is bad\n")


def test_it_is_not_ready_before_something_was_applied(tmp_path: Path, folder: Path) -> None:
    (folder / "one.yaml").write_text("bad")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind("\0" + f"netpolc-test-{os.getpid()}")
        notify.settimeout(SECONDS)
        name = "@" + notify.getsockname().decode().removeprefix("\0")
        environment = {**os.environ, "NOTIFY_SOCKET": name}
        command = [sys.executable, "-c", READS_ALL, str(folder)]
        with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=-1) as process:
            assert notify.recv(4096) == b"STATUS=refused: this is bad"
            (folder / "one.yaml").write_text("good")
            assert notify.recv(4096) == b"READY=1\nSTATUS=good"
            process.terminate()


def test_when_the_system_says_no_it_ends(watch: Watch, folder: Path) -> None:
    assert watch.line() == "one"
    (folder / "one.yaml").write_text("broken")
    _, err = watch.process.communicate(timeout=SECONDS)
    assert watch.process.returncode != 0
    assert "the kernel refused" in err


def test_a_folder_that_is_gone_is_waited_for(watch: Watch, folder: Path) -> None:
    assert watch.line() == "one"
    (folder / "one.yaml").unlink()
    folder.rmdir()
    assert watch.line() == ""
    folder.mkdir()
    (folder / "one.yaml").write_text("two")
    assert watch.line() == "two"
    assert watch.end(signal.SIGTERM) == (0, "", "")


def test_a_manifest_that_is_being_written_is_waited_for(watch: Watch, folder: Path) -> None:
    """As the shell does it: emptied at once, written when the command before it has ended."""
    assert watch.line() == "one"
    with (folder / "one.yaml").open("w") as half:
        (folder / "other.yaml").write_text("other")
        half.write("half")
        half.flush()
        time.sleep(1.5)
        half.write(" and whole")
    assert watch.line() == "half and whole other"
    assert watch.end(signal.SIGTERM) == (0, "", "")


@pytest.mark.parametrize(
    ("error", "sysctl"),
    [(EMFILE, "fs.inotify.max_user_instances"), (ENOSPC, "fs.inotify.max_user_watches")],
)
def test_without_inotify_it_applies_first_and_looks_at_the_folders(
    error: int, sysctl: str, folder: Path
) -> None:
    used_up = "inotify_simple.INotify.add_watch" if error == ENOSPC else "inotify_simple.INotify"
    stand_in = (
        f"def no(*_): raise OSError({error}, 'used up')\nimport inotify_simple\n{used_up} = no\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", stand_in + READS_ALL, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    (folder / "new").mkdir()
    (folder / "new" / "two.yaml").write_text("two")
    assert process.stdout.readline() == "two one\n"
    process.terminate()
    _, said = process.communicate(timeout=SECONDS)
    assert said == (
        f"netpolc: inotify is used up, raise the sysctl {sysctl}; until then folders are looked at "
        "every 2 s\n"
    )


@pytest.mark.parametrize("address", ["/nowhere/notify", "vsock:2:1234", "@" + "x" * 200, "."])
def test_a_notify_socket_that_cannot_be_used_is_said_once(address: str, folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", READS_ALL, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "NOTIFY_SOCKET": address},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    (folder / "one.yaml").write_text("two")
    assert process.stdout.readline() == "two\n"
    process.terminate()
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0
    assert said.count("netpolc: cannot tell systemd by NOTIFY_SOCKET: ") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--watch", "-"), "--watch needs folders, and - is none"),
        (("--watch", "examples/broken.yaml"), "--watch needs folders"),
        (("--watch", "examples/three-tier", "--dry-run"), "they exclude --watch"),
        (("examples/three-tier", "--flush-conntrack", "--dry-run"), "--flush-conntrack"),
        (
            ("examples/three-tier", "--flush-conntrack", "--established", "recheck"),
            "leave --flush-conntrack out",
        ),
        (("examples/three-tier", "--flush-conntrack", "--audit"), "--audit denies nothing"),
        (("--watch", "examples/three-tier", "--save", "f"), "it excludes --save and --confirm"),
        (("--watch", "examples/three-tier", "--confirm", "9s"), "--save and --confirm"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    refused = invoke("apply", *arguments)
    assert refused.code == 2
    assert words in refused.stderr
