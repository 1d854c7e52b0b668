"""apply --verify, --save and --confirm, drift, and locks, against a real kernel.

In: tables loaded, changed behind netpolc's back, saved, confirmed or not. Out: exit codes, what
`nft` lists afterwards, and which processes are left.
"""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import netpolc as api
from netpolc.backends.nft.rollout import guard, runtime
from netpolc.backends.nft.rollout.kernel import Kernel, Update
from netpolc.backends.nft.rollout.loaded import drifted
from netpolc.backends.nft.rollout.rollout import Plan, roll_out
from netpolc.core.errors import SystemRefusal, Unproven
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import DENY_ALL, THREE_TIER, netpolc
from tests.mutation.test_proof import layouts

pytestmark = pytest.mark.kernel
NODE = (THREE_TIER, "--node", "node-a")
ELEMENT = ("nft", "add", "element", "inet", "netpolc", "s4_0e63714984ceaf5e", "{ 10.9.9.9 }")


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as router:
        yield router


def started(router: Router, *arguments: str, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "netpolc", *arguments]
    return router.call(
        lambda: subprocess.Popen(  # type: ignore[call-overload]
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options
        )
    )


def eventually(condition: Callable[[], bool], seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)
    return condition()


def guards(router: Router) -> list[int]:
    """Guards of this namespace (others may run at the same time)."""
    namespace = router.call(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"netpolc.backends.nft.rollout.guard" in words:
                found.append((int(entry.name), os.stat(entry / "ns" / "net").st_ino))
        except OSError:  # it ended in the meantime
            continue
    return [process for process, own in found if own == namespace]


# Verify
# ----------------------------------------------------------------------------------------------


def test_a_proven_rollout_says_so(router: Router) -> None:
    applied = netpolc(router, "apply", *NODE, "--verify")
    assert (applied.returncode, applied.stderr) == (0, "")
    assert re.fullmatch(
        r"loaded table inet netpolc for node node-a: sha256:\w+, proven\n", applied.stdout
    )


def test_a_ruleset_that_means_something_else_is_not_loaded(router: Router) -> None:
    meant = api.compile(api.load([THREE_TIER]))
    other = api.compile(api.load([THREE_TIER])).ruleset("node-b")
    kernel = router.call(Kernel)
    wrong = replace(other, node="node-a")
    with pytest.raises(Unproven, match="differs from the policies"):
        router.call(lambda: roll_out(kernel, wrong, Plan(program=meant)))
    assert router.ruleset() == ""


@pytest.mark.parametrize(
    ("meddling", "words"),
    [
        ("insert rule inet netpolc ingress accept", "differs from the policies"),
        ("insert rule inet netpolc forward meta mark 7 accept", "not what was loaded"),
        ("delete table inet netpolc", "was deleted right after"),
    ],
)
def test_a_table_that_reads_back_differently_is_rolled_back(
    router: Router, meddling: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert netpolc(router, "apply", DENY_ALL, "--all-pods").returncode == 0
    before = router.ruleset()
    update = Kernel.update

    def meddled(self: Kernel, *arguments: object, **options: object) -> Update:
        done = update(self, *arguments, **options)  # type: ignore[arg-type]
        self.restore(meddling)
        return done

    monkeypatch.setattr(Kernel, "update", meddled)
    program = api.compile(api.load([THREE_TIER]))
    with pytest.raises(Unproven, match=words):
        router.call(lambda: roll_out(Kernel(), program.ruleset("node-a"), Plan(program=program)))
    assert router.ruleset() == before


# Save
# ----------------------------------------------------------------------------------------------


def test_a_saved_table_comes_back_exactly(router: Router, tmp_path: Path) -> None:
    """Every layout there is, with what it counted, and then nothing at all."""
    program = api.compile(api.load_objects(layouts()))
    options = api.Options(log="7/minute", deny="reject")
    router.call(lambda: Kernel().load(program.ruleset(None, options)))
    router.run("nft", "add", "counter", "inet", "netpolc", "mine", "{ packets 7 bytes 9 ; }")
    before = router.ruleset()
    file = tmp_path / "before.nft"
    assert netpolc(router, "apply", DENY_ALL, "--all-pods", "--save", str(file)).returncode == 0
    assert router.ruleset() != before
    for _ in range(2):
        router.run("nft", "-f", str(file))
        assert router.ruleset() == before
    router.flush()
    assert netpolc(router, "apply", *NODE, "--save", str(file)).returncode == 0
    router.run("nft", "-f", str(file))
    assert router.ruleset() == ""


def test_what_cannot_be_saved_is_not_replaced(router: Router, tmp_path: Path) -> None:
    refused = netpolc(router, "apply", *NODE, "--save", str(tmp_path / "none" / "file"))
    assert refused.returncode == 3
    assert "cannot write" in refused.stderr
    assert router.ruleset() == ""


# Drift
# ----------------------------------------------------------------------------------------------


def drift(router: Router, *paths: str) -> list[str]:
    found = netpolc(router, "status", *paths, "--format", "json")
    words: list[str] = json.loads(found.stdout)["drift"]
    assert found.returncode == (1 if words else 0)
    return words


def test_status_tells_missing_modified_and_stale(router: Router) -> None:
    assert drift(router) == ["missing"]
    assert netpolc(router, "apply", *NODE).returncode == 0
    assert drift(router) == []
    assert drift(router, THREE_TIER, "--node", "node-b") == ["stale"]
    router.run(*ELEMENT)
    assert drift(router) == ["modified"]
    assert drift(router, THREE_TIER, "--node", "node-b") == ["modified", "stale"]
    text = netpolc(router, "status").stdout
    assert "content   modified: it is not what netpolc apply loaded\n" in text
    assert netpolc(router, "apply", *NODE).returncode == 0
    assert "content   as it was loaded\n" in netpolc(router, "status").stdout


@pytest.mark.parametrize(
    "change",
    [
        "insert rule inet netpolc ingress counter",
        "flush chain inet netpolc exempt",
        "delete element inet netpolc in4 { 10.244.1.21 }",
        "add counter inet netpolc mine",
        "add chain inet netpolc mine { type filter hook input priority 0; }",
        "add table inet netpolc { flags dormant ; }",
    ],
)
def test_every_change_of_the_table_is_modified(router: Router, change: str) -> None:
    program = api.compile(api.load([THREE_TIER]))
    kernel = router.call(Kernel)
    router.call(lambda: kernel.load(program.ruleset("node-a")))

    def found() -> tuple[str, ...]:
        return drifted(kernel.facts.loaded("netpolc"), kernel.tables.content("netpolc"))

    assert router.call(found) == ()
    router.load(change)
    assert router.call(found) == ("modified",)


def test_a_table_loaded_by_nft_is_compared_too(router: Router) -> None:
    router.load(api.compile(api.load([THREE_TIER])).ruleset("node-a").text())
    assert drift(router, *NODE) == []
    assert "content   as it was loaded\n" in netpolc(router, "status").stdout


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda router: router.run(*ELEMENT), "is modified: it is not what netpolc apply loaded"),
        (lambda router: router.flush(), "is missing: it is not loaded"),
        (lambda router: netpolc(router, "apply", DENY_ALL, "--all-pods"), "is stale: it is sha"),
    ],
    ids=["modified", "missing", "stale"],
)
def test_watching_ends_at_the_first_drift(
    router: Router, change: Callable[[Router], object], words: str
) -> None:
    assert netpolc(router, "apply", *NODE).returncode == 0
    watching = started(router, "verify", *NODE, "--watch", "0.1", stderr=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        watching.wait(0.8)
    change(router)
    printed, said = watching.communicate(timeout=120)
    assert (watching.returncode, printed) == (1, "")
    assert words in said


def test_watching_reads_the_manifests_again(router: Router, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot.yaml"
    texts = [path.read_text() for path in sorted((ROOT / "examples/three-tier").glob("*.yaml"))]
    snapshot.write_text("\n---\n".join(texts))
    arguments = (str(snapshot), "--node", "node-a")
    assert netpolc(router, "apply", *arguments).returncode == 0
    watching = started(router, "verify", *arguments, "--watch", "0.1", stderr=subprocess.PIPE)
    with pytest.raises(subprocess.TimeoutExpired):
        watching.wait(0.8)
    other = tmp_path / "new"
    other.write_text(snapshot.read_text().replace("port: 8080", "port: 8081"))
    other.replace(snapshot)
    assert "is stale: " in watching.communicate(timeout=120)[1]
    assert watching.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_ends_cleanly(router: Router, number: signal.Signals) -> None:
    assert netpolc(router, "apply", *NODE).returncode == 0
    watching = started(router, "verify", *NODE, "--watch", "0.1", stderr=subprocess.PIPE)
    # It has asked for the table, and so it is ready to be ended.
    children = Path(f"/proc/{watching.pid}/task/{watching.pid}/children")
    assert eventually(lambda: children.read_text() != "")
    watching.send_signal(number)
    assert watching.communicate(timeout=120) == ("", "")
    assert watching.returncode == 0


# Confirm
# ----------------------------------------------------------------------------------------------


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
    applying = started(router, "apply", DENY_ALL, "--all-pods", "--confirm", "1s")
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


# Locks
# ----------------------------------------------------------------------------------------------


def test_a_lock_of_a_killed_process_is_free(router: Router) -> None:
    code = (
        "from netpolc.backends.nft.rollout.runtime import lock\nimport time\n"
        "with lock('netpolc'):\n print('locked', flush=True)\n time.sleep(60)\n"
    )
    holding = router.call(
        lambda: subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    )
    assert holding.stdout is not None
    assert holding.stdout.readline() == b"locked\n"
    waits = started(router, "apply", *NODE)
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(0.8)
    holding.kill()
    holding.communicate()
    assert waits.communicate(timeout=120)[0].startswith("loaded")


def test_other_tables_and_namespaces_do_not_wait(router: Router) -> None:
    with Router() as elsewhere:
        code = (
            "from netpolc.backends.nft.rollout.runtime import lock\n"
            "with lock('netpolc'):\n print('locked', flush=True)\n input()\n"
        )
        holding = router.call(
            lambda: subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert holding.stdout is not None
        holding.stdout.readline()
        assert netpolc(router, "apply", *NODE, "--table", "netpolc_b").returncode == 0
        assert netpolc(elsewhere, "apply", *NODE).returncode == 0
        holding.communicate(b"\n")
