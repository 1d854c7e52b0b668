"""libnftables dies, and netpolc does not.

In: stand-ins for the `nftables` module that end their process as a crash, an exit or a hang would;
workers that are killed. Out: refusals that say by what and what is foreign, a worker that is there
again, locks that are held until a transaction is over.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

import netpolc
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.libnftables import session
from netpolc.backends.nft.rollout.libnftables.session import Died, Session
from netpolc.backends.nft.rollout.loader import Via
from netpolc.core.errors import SystemRefusal
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
EXAMPLE = str(ROOT / "examples/three-tier")
STAND_IN = """
import os, signal, sys, time
class Nftables:
    def set_json_output(self, on): pass
    set_stateless_output = set_numeric_prio_output = set_dry_run = set_json_output
    def cmd(self, text):
        kind, _, value = text.partition(" ")
        if kind == "signal":
            os.kill(os.getpid(), int(value))
        if kind == "exit":
            sys.stderr.write("E: no netlink today\\n")
            sys.stderr.flush()
            os._exit(int(value))
        if kind == "sleep":
            time.sleep(float(value))
        return 0, text, str(len(text))
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that does as it is told, where libnftables is looked for."""
    (tmp_path / "nftables").mkdir()
    (tmp_path / "nftables" / "__init__.py").write_text(STAND_IN)
    monkeypatch.setattr(session, "binding", lambda: str(tmp_path))
    return tmp_path


def children(process: int) -> list[int]:
    """Of any of its threads."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):
            if stat.read_text().rpartition(") ")[2].split()[1] == str(process):
                found.append(int(stat.parent.name))
    return found


def ended(process: int) -> bool:
    """Within some seconds; one that nobody waited for has ended, too."""
    for _ in range(500):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (f"signal {signal.SIGSEGV}", r"was ended by SIGSEGV \(Segmentation fault\)"),
        (f"signal {signal.SIGABRT}", r"was ended by SIGABRT \(Aborted\)"),
        (f"signal {signal.SIGKILL}", r"was ended by SIGKILL \(Killed\)"),
        ("exit 3", r"ended its process \(exit code 3\): E: no netlink today"),
        ("exit 0", r"ended its process \(exit code 0\)"),
    ],
)
def test_a_death_is_told_and_survived(command: str, words: str, stand_in: Path) -> None:
    own = Session()
    for _ in range(2):
        with pytest.raises(Died, match=f"libnftables {words}"):
            own.ask(command)
        assert own.ask("list").output == "list"


@pytest.mark.parametrize("size", [0, 1, 1 << 16, 20_000_000])
def test_texts_of_every_length_arrive(size: int, stand_in: Path) -> None:
    answer = Session().ask("x" * size)
    assert (answer.output, answer.error) == ("x" * size, str(size))


def test_an_interrupted_question_leaves_no_answer_behind(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    own = Session()
    own.ask("list")
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            own.ask("sleep 60")
    finally:
        signal.signal(signal.SIGALRM, before)
    assert own.ask("other").output == "other"


def test_signals_for_everybody_do_not_reach_it(stand_in: Path) -> None:
    """Ctrl-C goes to all of the terminal's processes, SIGTERM of systemd to all of a unit's."""
    before = set(children(os.getpid()))
    own = Session()
    own.ask("list")
    (process,) = set(children(os.getpid())) - before
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        os.kill(process, number)
    assert own.ask("list").output == "list"


def test_it_holds_the_lock_of_a_killed_parent_and_ends_with_it(stand_in: Path) -> None:
    """Whoever gets the lock of a killed netpolc must not be overtaken by its transaction."""
    busy = "import ctypes\nNftables.cmd = lambda *_: (ctypes.PyDLL(None).sleep(1), '', '')\n"
    (stand_in / "nftables" / "__init__.py").write_text(STAND_IN + busy)
    code = (
        "from netpolc.backends.nft.rollout import runtime\n"
        "from netpolc.backends.nft.rollout.libnftables import session\n"
        f"session.binding = lambda: {str(stand_in)!r}\n"
        "with runtime.lock('netpolc_test') as lock:\n"
        "    own = session.Session()\n    own.ask('x')\n"
        "    print('asks', flush=True)\n    own.ask('x', [lock])\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"asks\n"
    time.sleep(0.4)
    (process,) = children(parent.pid)
    parent.kill()
    parent.wait()
    namespace = os.stat("/proc/thread-self/ns/net").st_ino
    with open(runtime.FOLDER / f"netpolc_test-{namespace}.lock") as held:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(held, fcntl.LOCK_EX)
    assert ended(process)
    parent.stdout.close()


def test_it_ends_in_the_middle_of_a_command_with_its_parent(stand_in: Path) -> None:
    code = (
        "from netpolc.backends.nft.rollout.libnftables import session\n"
        f"session.binding = lambda: {str(stand_in)!r}\n"
        "own = session.Session()\nown.ask('list')\nprint('asks', flush=True)\n"
        "own.ask('sleep 600')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    (process,) = children(parent.pid)
    parent.kill()
    parent.wait()
    assert ended(process)
    parent.stdout.close()


def test_a_missing_library_is_told(stand_in: Path) -> None:
    (stand_in / "nftables" / "__init__.py").write_text(
        "class Nftables:\n def __init__(self): raise OSError('libnftables.so.1: no such file')"
    )
    with pytest.raises(SystemRefusal, match=r"loading libnftables failed: libnftables\.so\.1"):
        Session().ask("list")


def test_a_death_between_two_commands_loses_none(router: Router) -> None:
    """As where memory is short: the kernel ends whom it likes."""
    before = set(children(os.getpid()))
    kernel = router.call(lambda: Kernel(via=Via.NFT))
    ruleset = netpolc.compile(netpolc.load([EXAMPLE])).ruleset("node-a")
    for _ in range(2):
        kernel.load(ruleset)
        (process,) = set(children(os.getpid())) - before
        os.kill(process, signal.SIGKILL)
        assert ended(process)
        assert kernel.tables.content_by_nft("netpolc") == ruleset.digest
        assert not Path(f"/proc/{process}").exists()


def test_a_kernel_survives_and_names_the_tables_of_others(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, dying = session.binding(), tmp_path / "dying"
    (tmp_path / "nftables").mkdir()
    (tmp_path / "nftables" / "__init__.py").write_text(
        f"import os, signal\n__path__ = [{place!r} + '/nftables']\n"
        "from nftables import nftables as real\n"
        "class Nftables(real.Nftables):\n"
        "    def cmd(self, text):\n"
        f"        if os.path.exists({str(dying)!r}):\n"
        f"            os.unlink({str(dying)!r})\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return super().cmd(text)\n"
    )
    monkeypatch.setattr(session, "binding", lambda: str(tmp_path))
    ruleset = netpolc.compile(netpolc.load([EXAMPLE])).ruleset("node-a")
    kernel = router.call(Kernel)
    kernel.load(ruleset)
    dying.touch()
    with pytest.raises(Died, match="no table of others is there"):
        kernel.tables.content_by_nft("netpolc")
    # The next worker is born in the router's namespace, though asked from outside of it.
    assert kernel.tables.content_by_nft("netpolc") == ruleset.digest
    router.run("nft", "add table ip nat; add table inet firewalld; add table inet netpolc_b")
    dying.touch()
    with pytest.raises(Died, match="wrote there; here are inet firewalld, ip nat"):
        kernel.tables.content_by_nft("netpolc")


def test_beside_a_deadly_table_netpolc_goes_on_and_libnftables_names_it(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As libnftables 1.0.6 is beside sets of a newer one: only `list table` reads one alone."""
    first, second = (
        netpolc.compile(netpolc.load([str(ROOT / "examples" / name)])).ruleset()
        for name in ("three-tier", "recipe-deny-all")
    )
    router.call(lambda: Kernel().load(first))
    router.run("nft", "add table ip nat; add table ip foreign; add table inet firewalld")
    place = session.binding()
    (tmp_path / "nftables").mkdir()
    (tmp_path / "nftables" / "__init__.py").write_text(
        f"import os, signal\n__path__ = [{place!r} + '/nftables']\n"
        "from nftables import nftables as real\n"
        "class Nftables(real.Nftables):\n"
        "    def cmd(self, text):\n"
        "        if not text.startswith('list table ') or text.endswith('foreign'):\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return super().cmd(text)\n"
    )
    monkeypatch.setattr(session, "binding", lambda: str(tmp_path))
    kernel = router.call(Kernel)
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert (loaded.digest, kernel.tables.content("netpolc")) == (first.digest, first.digest)
    assert kernel.facts.unconfirmed("netpolc") is None
    with pytest.raises(Died, match="it dies of ip foreign, which a newer nft may have written"):
        router.call(lambda: Kernel(via=Via.NFT)).update(second)
    assert kernel.tables.content("netpolc") == first.digest
    kernel.update(second)
    assert kernel.tables.content("netpolc") == second.digest
