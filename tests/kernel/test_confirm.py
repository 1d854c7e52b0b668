"""apply --confirm: what nobody confirms is undone, whoever is gone by then.

In: tables rolled out over another, confirmed or not; processes interrupted and killed. Out: exit
codes, what `nft` lists afterwards, and which processes are left.
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys

import pytest

import netpolc as api
from netpolc.backends.nft.rollout import guard, runtime
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.rollout import Plan, roll_out
from netpolc.core.errors import SystemRefusal
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.applying import NODE, drift, eventually, guards, started
from tests.kernel.test_commands import DENY_ALL, netpolc

pytestmark = pytest.mark.kernel


@pytest.fixture
def before(router: Router) -> str:
    """What is loaded when something else is rolled out."""
    assert netpolc(router, "apply", *NODE).returncode == 0
    return router.ruleset()


def waiting(router: Router) -> bool:
    return "meta_unconfirmed" in router.ruleset()


def token(router: Router) -> str:
    match = re.search(r'meta_unconfirmed \{\s*comment "([0-9a-f]+) until', router.ruleset())
    assert match is not None
    return match[1]


def test_what_nobody_confirms_is_undone(router: Router, before: str) -> None:
    done = netpolc(router, "apply", DENY_ALL, "--all-pods", "--confirm", "1s")
    assert done.returncode == 1
    assert "not confirmed: " in done.stdout
    assert router.ruleset() == before
    assert drift(router, *NODE) == []


def test_nothing_comes_back_where_nothing_was(router: Router) -> None:
    assert netpolc(router, "apply", *NODE, "--confirm", "1s").returncode == 1
    assert router.ruleset() == ""


def test_a_table_of_somebody_else_comes_back_and_is_told(router: Router) -> None:
    router.load('table inet netpolc {\n\tcomment "it\'s mine"\n\tchain mine { accept; }\n}\n')
    mine = router.ruleset()
    done = netpolc(router, "apply", *NODE, "--confirm", "1s")
    assert (done.returncode, done.stderr) == (1, "")
    assert "not confirmed: " in done.stdout
    assert router.ruleset() == mine


def test_what_is_confirmed_stays(router: Router, before: str) -> None:
    assert netpolc(router, "confirm").returncode == 1
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "5m")
    assert eventually(lambda: waiting(router))
    own = token(router)
    assert runtime.kept(own).exists()
    assert "confirm   awaited until " in netpolc(router, "status").stdout
    second = netpolc(router, "apply", *NODE, "--confirm", "9s")
    assert (second.returncode, "`netpolc confirm` it first" in second.stderr) == (3, True)

    confirmed = netpolc(router, "confirm")
    assert (confirmed.returncode, confirmed.stdout) == (0, "confirmed table inet netpolc\n")
    assert "\nconfirmed\n" in applying.communicate(timeout=120)[0]
    assert applying.returncode == 0
    assert eventually(lambda: not guards(router))
    assert not runtime.kept(own).exists()
    assert "deny-all" in router.ruleset()
    assert drift(router, DENY_ALL, "--all-pods") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_it_is_undone_when_apply_is_gone(
    number: signal.Signals, router: Router, before: str
) -> None:
    applying = started(
        router, "apply", DENY_ALL, "--all-pods", "--confirm", "2s", stderr=subprocess.DEVNULL
    )
    assert eventually(lambda: waiting(router))
    applying.send_signal(number)
    applying.communicate()
    assert eventually(lambda: router.ruleset() == before)
    assert eventually(lambda: not guards(router))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_whoever_interrupts_undoes_it_at_once(
    number: signal.Signals, code: int, router: Router, before: str
) -> None:
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "5m")
    assert applying.stdout is not None
    for line in applying.stdout:
        if line.startswith("waiting to be confirmed"):
            break
    assert waiting(router)
    applying.send_signal(number)
    said, errors = applying.communicate(timeout=120)
    assert router.ruleset() == before
    assert said.startswith("interrupted, not confirmed: what was loaded before")
    assert (applying.returncode, errors or "") == (code, "")
    assert eventually(lambda: not guards(router))


@pytest.mark.parametrize("answer", ["\n", None])
def test_a_terminal_confirms_and_a_lost_one_does_not(
    answer: str | None, router: Router, before: str
) -> None:
    """The master's end of a terminal closes as it does when an ssh session breaks."""
    master, slave = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", "netpolc", "apply", DENY_ALL]
    command += ["--all-pods", "--confirm", "2s"]
    applying = router.call(
        lambda: subprocess.Popen(command, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave)
    )
    os.close(slave)
    printed = b""
    while b"press Enter" not in printed:
        printed += os.read(master, 4096)
    if answer is not None:
        os.write(master, answer.encode())
    else:
        os.close(master)
    code = applying.wait(20)
    assert eventually(lambda: not guards(router))
    if answer is None:
        assert code != 0
        assert router.ruleset() == before
    else:
        os.close(master)
        assert code == 0
        assert "deny-all" in router.ruleset()
        assert not waiting(router)


def test_a_newer_table_is_not_undone(router: Router, before: str) -> None:
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "2s")
    assert eventually(lambda: waiting(router))
    assert netpolc(router, "apply", *NODE, "--log=7/minute").returncode == 0
    newer = router.ruleset()
    applying.communicate(timeout=120)
    assert eventually(lambda: not guards(router))
    assert router.ruleset() == newer


def test_without_its_guard_apply_undoes_it(router: Router, before: str) -> None:
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "5s")
    assert eventually(lambda: waiting(router))
    for process in guards(router):
        os.kill(process, signal.SIGKILL)
    assert "not confirmed: " in applying.communicate(timeout=120)[0]
    assert router.ruleset() == before


def test_with_both_killed_the_old_table_is_in_a_file(router: Router, before: str) -> None:
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "1s")
    assert eventually(lambda: waiting(router))
    for process in (*guards(router), applying.pid):
        os.kill(process, signal.SIGKILL)
    applying.communicate()
    kept = runtime.kept(token(router))
    assert f"then {kept} is loaded" in netpolc(router, "status").stdout
    router.run("nft", "-f", str(kept))
    kept.unlink()
    assert router.ruleset() == before


def test_a_guard_that_is_told_to_end_undoes_it_at_once(router: Router, before: str) -> None:
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "5m")
    assert eventually(lambda: waiting(router))
    (process,) = guards(router)
    os.kill(process, signal.SIGTERM)
    assert "not confirmed: " in applying.communicate(timeout=120)[0]
    assert router.ruleset() == before


def test_without_a_guard_nothing_is_loaded(
    router: Router, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    monkeypatch.setattr(guard, "__name__", "netpolc.no_such_module")
    ruleset = api.compile(api.load([DENY_ALL])).ruleset()
    with pytest.raises(SystemRefusal, match=r"the guard did not start: .*no_such_module"):
        router.call(lambda: roll_out(Kernel(), ruleset, Plan(seconds=9)))
    assert router.ruleset() == before
