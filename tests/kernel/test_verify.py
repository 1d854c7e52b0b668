"""`netpolc verify` against the kernel: what it holds, who changed it, and who is right.

In: tables loaded and then changed behind netpolc's back; mutants that verify takes for equal; drawn
snapshots. Out: exit codes; the kernel's own verdict on the same packets.
"""

from __future__ import annotations

import subprocess

import pytest
import yaml
from hypothesis import given, note, settings

import netpolc
from netpolc.backends.nft.readback import parse_json
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.readback.tracer import Tracer, packet
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.core.nets import parse_address
from tests.helpers import reference, scenarios
from tests.helpers.lab import Injector, Router
from tests.helpers.manifests import Manifest
from tests.helpers.scenarios import ROOT, everything
from tests.helpers.strategies import Flow, interesting_flows, snapshots_with_flows
from tests.kernel.test_commands import netpolc as command
from tests.mutation.test_proof import layouts, program_of, survivors
from tests.property.test_kernel import PATIENT, PROTOCOLS

pytestmark = pytest.mark.kernel
THREE_TIER = str(ROOT / "examples" / "three-tier")


def verify(router: Router, *arguments: str) -> subprocess.CompletedProcess[str]:
    return command(router, "verify", THREE_TIER, "--node", "node-a", *arguments)


def test_what_was_loaded_is_proven_and_what_was_changed_is_found(router: Router) -> None:
    missing = verify(router)
    assert (missing.returncode, missing.stdout) == (1, "table inet netpolc is not loaded\n")
    assert command(router, "apply", THREE_TIER, "--node", "node-a").returncode == 0
    proven = verify(router)
    assert (proven.returncode, proven.stderr) == (0, "")
    assert "does what the policies mean" in proven.stdout

    router.run("nft", "add", "element", "inet", "netpolc", "s4_0e63714984ceaf5e", "{ 10.9.9.9 }")
    changed = verify(router)
    assert changed.returncode == 1
    assert "10.9.9.9 -> " in changed.stdout
    assert "production/" in changed.stdout


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("insert rule inet netpolc ingress accept", 1),
        ("insert rule inet netpolc forward ct state new accept", 1),
        ("flush chain inet netpolc exempt", 1),
        ("flush map inet netpolc in4", 1),
        ("insert rule inet netpolc forward meta mark 7 accept", 2),
        ("insert rule inet netpolc forward ip saddr != 10.0.0.1 accept", 2),
        ("add chain inet netpolc mine { type filter hook forward priority -9 ; }", 2),
        ("add table inet netpolc { flags dormant ; }", 2),
    ],
)
def test_changes_behind_its_back(router: Router, change: str, code: int) -> None:
    assert command(router, "apply", THREE_TIER, "--node", "node-a").returncode == 0
    router.run("nft", change)
    found = verify(router)
    assert found.returncode == code, found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_every_layout_is_read_back_from_the_kernel(router: Router) -> None:
    program = program_of("layouts")
    router.load(program.ruleset().text())
    text = router.call(lambda: Kernel().tables.listing("netpolc"))
    assert text is not None
    proof = Proof(program, parse_json.parse(text))
    assert [str(found) for found in proof.differences()] == []
    assert proof.cases > 3_000


def _judge(injector: Injector, flows: list[Flow]) -> list[bool]:
    packets = [(s, d, PROTOCOLS.get(str(p), p), port) for s, d, p, port in flows]
    return injector.judge([(s, d, int(p), port) for s, d, p, port in packets])


@pytest.mark.parametrize("name", ["port-range", "sctp", "v18-ip-blocks", "layouts"])
def test_the_kernel_cannot_tell_the_survivors_either(name: str, injector: Injector) -> None:
    """Mutants that verify calls equal let the packets through that the policies admit."""
    objects = layouts()
    if name != "layouts":
        scenario = next(own for own in everything() if own.name == name)
        texts = [path.read_text() for path in scenario.manifests]
        objects = [own for text in texts for own in yaml.safe_load_all(text) if own]
    program = netpolc.compile(netpolc.load_objects(objects))
    flows = [
        flow
        for flow in interesting_flows(objects, 300)
        if scenarios.forwarded(program, netpolc.Flow(*flow))
    ]
    wanted = [reference.allowed(objects, *flow, "current") for flow in flows]
    alive, _ = survivors(name)
    for mutant in alive[:: 1 if len(alive) < 50 else 8]:
        injector.flush()
        injector.router.run("nft", "-j", "-f", "-", text=mutant.text)
        assert _judge(injector, flows) == wanted, (mutant.kind, mutant.where)


@settings(PATIENT, max_examples=25)
@given(case=snapshots_with_flows())
def test_the_tracer_is_right_about_the_kernel(
    injector: Injector, case: tuple[list[Manifest], list[Flow]]
) -> None:
    """Of drawn snapshots: the table as the kernel lists it, traced, and the kernel's verdicts."""
    objects, drawn = case
    program = netpolc.compile(netpolc.load_objects(objects))
    flows = [
        flow
        for flow in dict.fromkeys([*drawn, *interesting_flows(objects, 300)])
        if scenarios.forwarded(program, netpolc.Flow(*flow))
    ]
    injector.flush()
    injector.load(program.ruleset().text())
    text = injector.router.call(lambda: Kernel().tables.listing("netpolc"))
    assert text is not None
    note(text)
    listing = parse_json.parse(text)
    tracer = Tracer(listing)
    traced = [
        tracer.trace(
            packet(parse_address(s), parse_address(d), int(PROTOCOLS.get(str(p), p)), port)
        ).passed
        for s, d, p, port in flows
    ]
    assert traced == _judge(injector, flows)
    assert [str(found) for found in Proof(program, listing).differences()] == []
