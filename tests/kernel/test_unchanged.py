"""`apply` and `status PATH` where nothing has changed: nothing is compiled, and the same is said.
Wherever anything has changed, it is compiled.

In: a table that `apply` loaded; then one change, of the inputs, of an option, of the host or of the
code (`test_unchanged_table.py`: of the table). Out: what is said, and how often something was
compiled. The oracle is the long way, which `--via nft` always takes.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from netpolc.cli import inputs
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.compiling import NODE, Machine
from tests.kernel.test_commands import THREE_TIER, netpolc

pytestmark = pytest.mark.kernel


def test_nothing_is_compiled_and_the_same_is_said(machine: Machine) -> None:
    first = machine.run("apply")
    assert first.stdout.startswith("loaded table inet netpolc for node node-a: sha256:")
    assert machine.compiled == 1
    short = machine.run("apply")
    assert machine.compiled == 1
    long = machine.run("apply", "--via", "nft")
    assert machine.compiled == 2
    assert short == long
    assert short.stdout.startswith("nothing to change in table inet netpolc for node node-a: sha")


def test_status_of_the_same_inputs_compiles_nothing(applied: Machine) -> None:
    for form in ("text", "json"):
        before = applied.compiled
        short = applied.run("status", "-o", form)
        assert applied.compiled == before
        assert applied.run("status", "--via", "nft", "-o", form) == short
        assert applied.compiled == before + 1
    assert "snapshot  matches\n" in applied.run("status").stdout


def test_the_program_imports_no_pass(router: Router) -> None:
    """As an installed command: a test process has loaded all modules long since."""
    assert netpolc(router, "apply", THREE_TIER, *NODE).returncode == 0
    for command in ("apply", "status"):
        words = ("-X", "importtime", "-m", "netpolc", command, THREE_TIER, *NODE)
        done = router.call(
            lambda own=words: subprocess.run(  # type: ignore[misc]
                [sys.executable, *own],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            )
        )
        own = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        unneeded = ("netpolc.passes", "netpolc.frontends.", "netpolc.backends.nft.lower")
        assert not {name for name in own if name.startswith(unneeded)}


def test_files_that_say_the_same_are_the_same(applied: Machine) -> None:
    """When they were written, and who owns them, decides nothing."""
    for path in applied.folder.iterdir():
        text = path.read_bytes()
        path.unlink()
        path.write_bytes(text)
    assert not applied.compiles("apply")


def test_all_pods_and_the_name_of_the_host_are_known_too(
    applied: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere = (str(applied.folder), "--all-pods")
    assert applied.compiles("apply", *everywhere)
    assert not applied.compiles("apply", *everywhere)
    assert "for every pod: sha256:" in applied.run("apply", *everywhere).stdout
    monkeypatch.setattr(socket, "gethostname", lambda: "Node-A.example")
    assert applied.compiles("apply", str(applied.folder))
    assert not applied.compiles("apply", str(applied.folder))
    assert "for node node-a: sha256:" in applied.run("apply", str(applied.folder)).stdout
    monkeypatch.setattr(socket, "gethostname", lambda: "node-b")
    assert applied.compiles("apply", str(applied.folder))


# Inputs
# ----------------------------------------------------------------------------------------------


def _one(folder: Path) -> Path:
    return sorted(folder.glob("*.yaml"))[0]


def _edited(folder: Path) -> None:
    for path in folder.glob("*.yaml"):
        path.write_text(path.read_text().replace("8080", "8081"))


def _below(folder: Path) -> Path:
    below = folder / "below"
    below.mkdir()
    return below


FILES: dict[str, Callable[[Path], object]] = {
    "edited": _edited,
    "comment": lambda folder: _one(folder).write_text(_one(folder).read_text() + "# more\n"),
    "renamed": lambda folder: _one(folder).rename(folder / "renamed.yaml"),
    "moved below": lambda folder: shutil.move(folder / _one(folder).name, _below(folder)),
    "new": lambda folder: (folder / "new.yaml").write_text(
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: another}\n"
    ),
    "empty": lambda folder: (folder / "new.yaml").write_text("---\n"),
}


@pytest.mark.parametrize("how", FILES)
def test_other_files_are_read_and_compiled(applied: Machine, how: str) -> None:
    FILES[how](applied.folder)
    assert applied.compiles("apply")
    assert not applied.compiles("apply")


def test_a_link_beside_what_it_leads_to_is_read_once_by_both_ways(machine: Machine) -> None:
    (machine.folder / "link.yaml").symlink_to(_one(machine.folder))
    assert machine.compiles("apply")
    assert not machine.compiles("apply")


OPTIONS = [
    ("--hook", "postrouting"),
    ("--priority", "-7"),
    ("--deny", "reject"),
    ("--log",),
    ("--audit",),
    ("--established", "recheck"),
    ("--established", "recheck", "--ct-mark-mask", "0xff000000"),
    ("--pod-bridges", "br-pods"),
    ("--pending", "deny", "--pod-cidr", "10.244.1.0/24"),
    ("--table", "netpolc_other"),
    ("--exclude", "nothing*"),
    ("--default-namespace", "other"),
    ("--no-strict",),
    ("--node-address", "node-a=10.99.0.1"),
    ("--unread", "error"),
]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_other_options_are_compiled_once(applied: Machine, options: tuple[str, ...]) -> None:
    assert applied.compiles("apply", *options)
    assert not applied.compiles("apply", *options)
    assert applied.run("apply", *options) == applied.run("apply", *options, "--via", "nft")
    assert applied.compiles("apply") is ("--table" not in options)


ALWAYS = [
    ("--verify",),
    ("--plan",),
    ("--dry-run",),
    ("--flush-conntrack",),
    ("--via", "nft"),
    ("--raw",),
]


@pytest.mark.parametrize("options", ALWAYS, ids=" ".join)
def test_what_is_asked_for_besides_is_done(applied: Machine, options: tuple[str, ...]) -> None:
    assert applied.compiles("apply", *options)
    assert applied.compiles("apply", *options)


def test_a_proof_that_is_asked_for_is_made(applied: Machine) -> None:
    assert "proven" in applied.run("apply", "--verify").stdout
    assert not applied.compiles("apply")


def test_the_table_is_saved_where_that_is_asked_for(applied: Machine, tmp_path: Path) -> None:
    for _ in range(2):
        assert applied.compiles("apply", "--save", str(tmp_path / "before.nft"))
        assert "table inet netpolc" in (tmp_path / "before.nft").read_text()
        (tmp_path / "before.nft").unlink()


def test_a_table_that_waits_is_confirmed(applied: Machine) -> None:
    waiting = "0123456789abcdef until 2099-01-01T00:00:00Z"
    applied.router.load(f'add counter inet netpolc meta_unconfirmed {{ comment "{waiting}"; }}')
    assert applied.compiles("apply")
    assert "confirm" not in applied.run("status").stdout
    assert not applied.compiles("apply")


def test_standard_input_is_always_compiled(machine: Machine) -> None:
    text = "\n---\n".join(path.read_text() for path in sorted(machine.folder.glob("*.yaml")))
    for _ in range(3):
        assert machine.compiles("apply", "-", *NODE, stdin=text.encode())


SAID = {
    "ignored": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: default}\n",
    "not judged": "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
    "metadata: {name: x, namespace: default}\nspec: {}\n",
    "warned of": "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
    "metadata: {name: x, namespace: default}\n"
    "spec: {podSelector: {}, unknown: 1}\n",
}


@pytest.mark.parametrize("what", SAID)
def test_what_is_said_is_said_every_time(machine: Machine, what: str) -> None:
    (machine.folder / "said.yaml").write_text(SAID[what])
    said = [machine.run("apply", "--no-strict").stderr for _ in range(3)]
    assert said[0]
    assert set(said) == {said[0]}
    assert machine.compiled == 3


def test_a_snapshot_that_isolates_nobody_is_always_compiled(machine: Machine) -> None:
    for path in machine.folder.glob("*.yaml"):
        if "kind: NetworkPolicy" in path.read_text():
            path.unlink()
    for _ in range(2):
        assert machine.compiles("apply", "--allow-empty")
        assert machine.compiles("apply")


# The host and the code
# ----------------------------------------------------------------------------------------------


def test_another_address_of_the_host_is_compiled(applied: Machine) -> None:
    applied.router.run("ip", "address", "add", "10.244.1.1/24", "dev", "lo")
    assert applied.compiles("apply")
    assert not applied.compiles("apply")
    applied.router.run("ip", "address", "del", "10.244.1.1/24", "dev", "lo")
    assert applied.compiles("apply")


def test_status_knows_the_addresses_of_the_host_as_apply_does(machine: Machine) -> None:
    """The gateway of a bridge is an address of the pods' blocks that no Node object lists."""
    machine.router.run("ip", "address", "add", "10.244.1.1/24", "dev", "lo")
    pending = ("--pending", "deny", "--pod-cidr", "10.244.1.0/24")
    assert machine.compiles("apply", *pending)
    for via in ("netlink", "nft"):
        assert "snapshot  matches\n" in machine.run("status", "--via", via).stdout


def test_another_netpolc_compiles(applied: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "__version__", "9.9.9")
    assert applied.compiles("apply")
    assert not applied.compiles("apply")
    monkeypatch.undo()


def test_code_that_was_changed_is_another(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    module = tmp_path / "below" / "module.py"
    module.write_text("one = 1\n")
    before = sorted(inputs._modules(str(tmp_path)))
    assert [own[0] for own in before] == [str(module)]
    module.write_text("two = 2\n")
    assert sorted(inputs._modules(str(tmp_path))) != before


def test_a_change_while_files_are_read_is_compiled(
    applied: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files whose digests are of two moments may be no snapshot that ever was."""
    real = inputs._digest

    def slow(name: str) -> str:
        found = real(name)
        (applied.folder / "late.yaml").write_text("---\n")
        return found

    monkeypatch.setattr(inputs, "_digest", slow)
    assert applied.compiles("apply")


def test_bad_input_is_told_as_it_was(applied: Machine) -> None:
    """The table in force stays, and is known again when the input is good again."""
    good = _one(applied.folder).read_text()
    _one(applied.folder).write_text("kind: [\n")
    outcomes = [applied.run("apply"), applied.run("apply", "--via", "nft")]
    assert outcomes[0] == outcomes[1]
    assert outcomes[0].code == 2
    _one(applied.folder).write_text(good)
    assert not applied.compiles("apply")
