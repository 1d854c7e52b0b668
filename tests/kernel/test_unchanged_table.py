"""What `apply` and `status PATH` make of a table that somebody changed, though nothing else has.

In: a table that is known to be what its inputs gave, then a change of it. Out: it is compiled and
repaired; a note of the inputs says nothing of another table.
"""

from __future__ import annotations

import re

import pytest

import netpolc as api
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.kernel import Kernel
from tests.kernel.compiling import Machine

pytestmark = pytest.mark.kernel

FOREIGN = {
    "rule": "insert rule inet netpolc ingress counter",
    "flushed": "flush chain inet netpolc exempt",
    "element gone": "delete element inet netpolc in4 { 10.244.1.21 }",
    "counter": "add counter inet netpolc mine",
    "chain": "add chain inet netpolc mine { type filter hook input priority 0; }",
    "dormant": "add table inet netpolc { flags dormant ; }",
    "deleted": "delete table inet netpolc",
    "owner gone": "flush set inet netpolc meta_pods4",
    "note gone": "delete counter inet netpolc meta_bridges",
    "note of inputs gone": "delete counter inet netpolc meta_inputs",
    "chain called a note": "add chain inet netpolc meta_x { type filter hook input priority 0; }",
    "other options": "delete counter inet netpolc meta_options\nadd counter inet netpolc "
    'meta_options { comment "hook=forward priority=-5 deny=drop log=9/day"; }',
    "other inputs": "delete counter inet netpolc meta_inputs\n"
    f'add counter inet netpolc meta_inputs {{ comment "sha256:{"0" * 64}"; }}',
    "other digest": "delete counter inet netpolc meta_digest\n"
    f'add counter inet netpolc meta_digest {{ comment "sha256:{"0" * 32}"; }}',
}


@pytest.mark.parametrize("how", FOREIGN)
def test_a_table_that_somebody_changed_is_repaired(applied: Machine, how: str) -> None:
    before = _objects(applied)
    applied.router.load(FOREIGN[how])
    assert applied.compiles("apply")
    assert _objects(applied) == before
    assert not applied.compiles("apply")


def _objects(machine: Machine) -> dict[str, tuple[object, ...]]:
    """All that the table holds but when it was loaded; elements are in no order."""
    found = machine.router.call(lambda: Kernel().tables.objects("netpolc"))
    return {
        own.key: (own.opening, own.rules, sorted(own.elements))
        for own in found or ()
        if own.name != "meta_loaded"
    }


def test_a_note_says_nothing_of_another_table(applied: Machine) -> None:
    """Whoever changes the table and lets the note stay, an older netpolc for example, has not made
    it a note of what is there then."""
    (noted,) = re.findall(
        r'comment "(sha256:\w{64})"',
        applied.router.run("nft", "list", "counter", "inet", "netpolc", "meta_inputs"),
    )
    other = api.compile(api.load([applied.folder])).ruleset("node-b")
    note = f'add counter inet netpolc meta_inputs {{ comment "{noted}"; }}\n'
    applied.router.load(other.text() + note)
    assert applied.compiles("status", "--node", "node-b")
    assert applied.compiles("apply")


def test_who_changes_tables_and_reads_no_file_cannot_note_anything(applied: Machine) -> None:
    """All that is in the digest may be known to others, but for the secret of the host."""
    (runtime.FOLDER / "secret").unlink()
    assert applied.compiles("status")
    assert applied.compiles("apply")
    assert not applied.compiles("apply")


def test_a_table_without_a_note_is_compiled_once(machine: Machine) -> None:
    """As an earlier netpolc loads it; the note comes by itself and changes nothing else."""
    program = api.compile(api.load([machine.folder]))
    machine.router.call(lambda: Kernel().update(program.ruleset("node-a")))
    since = _since(machine)
    machine.compiled = 0
    assert machine.compiles("status")
    said = machine.run("apply").stdout
    assert said.startswith("nothing to change in table")
    assert machine.compiled == 2
    assert not machine.compiles("apply")
    assert _since(machine) == since


def _since(machine: Machine) -> str | None:
    loaded = machine.router.call(lambda: Kernel().facts.loaded("netpolc"))
    return None if loaded is None else loaded.since


def test_what_is_not_told_of_the_inputs_is_told_of_the_table(applied: Machine) -> None:
    applied.router.load(FOREIGN["rule"])
    outcome = applied.run("status")
    assert outcome.code == 1
    assert "content   modified: it is not what netpolc apply loaded\n" in outcome.stdout
    assert "snapshot  matches\n" in outcome.stdout


NAMED_AS_NOTES = {
    "chain": "add chain inet netpolc meta_x { type filter hook input priority 0; }",
    "chain that no hook asks": "add chain inet netpolc meta_x",
    "map": "add map inet netpolc meta_x { typeof ip saddr : verdict; size 16; }",
}


@pytest.mark.parametrize("how", NAMED_AS_NOTES)
@pytest.mark.parametrize("via", ["netlink", "nft"])
def test_only_counters_and_sets_are_notes_by_their_name(
    applied: Machine, how: str, via: str
) -> None:
    """A base chain judges every packet, whatever it is called."""
    command = ("status", "--table", "netpolc", "--via", via)
    assert applied.run(*command).code == 0
    applied.router.load("add counter inet netpolc meta_y")
    assert applied.run(*command).code == 0
    applied.router.load(NAMED_AS_NOTES[how])
    outcome = applied.run(*command)
    assert outcome.code == 1
    assert "content   modified: it is not what netpolc apply loaded\n" in outcome.stdout
    assert applied.compiles("apply")
    assert applied.run(*command).code == 0


def test_addresses_that_changed_hands_are_settled_before_a_note_holds(applied: Machine) -> None:
    """Another pod has an address: its flows are forgotten, and then the table is known again."""
    pods = next(own for own in applied.folder.iterdir() if "10.244.1.21" in own.read_text())
    pods.write_text(pods.read_text().replace("10.244.1.21", "10.244.1.99"))
    assert applied.compiles("apply")
    assert not applied.compiles("apply")
    pods.write_text(pods.read_text().replace("10.244.1.99", "10.244.1.21"))
    assert applied.compiles("apply")
    assert not applied.compiles("apply")
