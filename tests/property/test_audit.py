"""Audited policies: the verdict is that without them, what they would deny is told and counted.

In: drawn snapshots of which some policies are only tried. Out: semantics, proof and kernel against
the independent reference, which is asked twice: without the audited policies and with all of them.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft import KEEP, RECHECK
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.rollout.kernel import Kernel
from tests.helpers import reference, scenarios
from tests.helpers.lab import Injector
from tests.helpers.manifests import Manifest
from tests.helpers.strategies import Flow, interesting_flows, snapshots_with_flows
from tests.property.test_kernel import PROTOCOLS

PATIENT = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
SWEEP = 250


@st.composite
def tried(draw: st.DrawFn) -> tuple[list[Manifest], list[Manifest], list[Flow]]:
    """A snapshot with audited policies, the same without them, and flows."""
    objects, flows = draw(snapshots_with_flows())
    policies = [at for at, own in enumerate(objects) if own["kind"] == "NetworkPolicy"]
    audited = draw(st.sets(st.sampled_from(policies))) if policies else set()
    annotated = list(objects)
    for at in audited:
        metadata = {**objects[at]["metadata"], "annotations": {"netpolc.dev/audit": "true"}}
        annotated[at] = {**objects[at], "metadata": metadata}
    rest = [own for at, own in enumerate(objects) if at not in audited]
    return annotated, rest, list(dict.fromkeys([*flows, *interesting_flows(objects, SWEEP)]))


@PATIENT
@given(tried())
def test_the_verdict_is_that_without_audited_policies(
    case: tuple[list[Manifest], list[Manifest], list[Flow]],
) -> None:
    objects, rest, flows = case
    program = netpolc.compile(netpolc.load_objects(objects))
    for flow in flows:
        verdict = netpolc.evaluate(program, netpolc.Flow(*flow))
        enforced = reference.allowed(rest, *flow, "current")
        assert verdict.allowed is enforced, flow
        everything = reference.allowed(objects, *flow, "current")
        assert verdict.would_deny is (enforced and not everything), flow


@PATIENT
@given(
    tried(),
    st.booleans(),
    st.sampled_from(["forward", "postrouting"]),
    st.sampled_from([None, "5/second"]),
    st.sampled_from([KEEP, RECHECK]),
)
def test_the_ruleset_is_proven_to_pass_and_to_count(
    case: tuple[list[Manifest], list[Manifest], list[Flow]],
    audit: bool,
    hook: str,
    log: str | None,
    established: str,
) -> None:
    program = netpolc.compile(netpolc.load_objects(case[0]))
    options = netpolc.Options(audit=audit, hook=hook, log=log, established=established)
    ruleset = program.ruleset(options=options)
    for listing in parse_text.parse(ruleset.text()), parse_json.parse(ruleset.json()):
        found = Proof(program, listing, audit=audit).differences()
        assert [str(difference) for difference in found] == []


@pytest.mark.kernel
@PATIENT
@given(case=tried())
def test_the_kernel_passes_what_audited_policies_would_deny(
    injector: Injector, case: tuple[list[Manifest], list[Manifest], list[Flow]]
) -> None:
    """Verdicts and the sums of both kinds of counters, packet by packet."""
    objects, rest, drawn = case
    program = netpolc.compile(netpolc.load_objects(objects))
    flows = [flow for flow in drawn if scenarios.forwarded(program, netpolc.Flow(*flow))]
    injector.flush()
    injector.load(program.ruleset().text())
    packets = [(s, d, int(PROTOCOLS.get(str(p), p)), port) for s, d, p, port in flows]
    enforced = [reference.allowed(rest, *flow, "current") for flow in flows]
    everything = [reference.allowed(objects, *flow, "current") for flow in flows]
    assert injector.judge(packets) == enforced
    table = injector.router.call(lambda: Kernel().facts.loaded("netpolc"))
    assert table is not None
    denied = sum(own.packets for own in table.drops if not own.audited)
    audited = sum(own.packets for own in table.drops if own.audited)
    assert denied == enforced.count(False)
    # A packet is audited at both of its ends, or at one and then denied at the other.
    would_deny = sum(v1 and not v2 for v1, v2 in zip(enforced, everything, strict=True))
    assert would_deny <= audited <= 2 * would_deny + denied
    if not would_deny and not denied:
        assert audited == 0
