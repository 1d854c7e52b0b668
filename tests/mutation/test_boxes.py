"""Both proofs say the same: the one in boxes, and the one packet by packet that it must not fall
behind; and where boxes are of no use, or would be wrong, nothing is called proven.

In: rulesets of examples and of drawn clusters, whole and with one thing wrong. Out: equal verdicts,
equal first differences, equal classes; packets at random end where the tracer says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import Proof
from netpolc.backends.nft.readback.proof import walk as walking
from netpolc.backends.nft.readback.proof.axes import KindAxis
from netpolc.backends.nft.readback.proof.comparison import Comparison
from netpolc.backends.nft.readback.proof.pairs import PairProof
from netpolc.backends.nft.readback.proof.sender import SCOPES
from netpolc.backends.nft.readback.proof.walk import Box, Exit, Walk
from netpolc.backends.nft.readback.tracer import Packet, Tracer, packet
from netpolc.core.errors import RulesetError
from netpolc.core.nets import Family, numbers
from netpolc.core.program import InvariantError
from tests.helpers.manifests import Manifest
from tests.helpers.mutants import mutants
from tests.helpers.scenarios import Scenario, everything
from tests.helpers.strategies import snapshots_with_flows
from tests.mutation.test_proof import OPTIONS, program_of

RECHECK = netpolc.Options(established="recheck")
SAMPLES = (
    ("port-range", OPTIONS[0], 41),
    ("sctp", OPTIONS[0], 53),
    ("sctp", RECHECK, 307),
    ("v18-ip-blocks", netpolc.Options(hook="postrouting"), 61),
    ("layouts", netpolc.Options(deny="reject"), 607),
    ("audit-neither-denies-nor-opens", OPTIONS[0], 83),
    ("dual-stack-every-address", netpolc.Options(audit=True), 71),
    ("pod-to-itself-every-address", netpolc.Options(hook="postrouting"), 47),
)
"""Rulesets, and of how many mutants one is judged by both proofs."""


def verdict(proof: Proof | PairProof) -> str:
    """The first difference, or why the ruleset is refused; empty of what is proven."""
    try:
        return str(next(proof.differences(), ""))
    except RulesetError as error:
        return f"refused: {error}"


def judged(program: netpolc.Program, listing: Listing, audit: bool = False) -> str:
    """What both proofs say; they must say the same."""
    proof = Proof(program, listing, audit=audit)
    found = verdict(proof)
    assert found == verdict(PairProof(program, listing, audit=audit))
    return found


@pytest.mark.parametrize(("name", "options", "step"), SAMPLES)
def test_mutants_are_noticed_by_both_or_by_none(
    name: str, options: netpolc.Options, step: int
) -> None:
    program = program_of(name)
    found = []
    for mutant in list(mutants(program.ruleset(None, options).json()))[::step]:
        try:
            listing = parse_json.parse(mutant.text)
        except RulesetError:
            continue
        found.append(judged(program, listing, options.audit))
    assert any(found)


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    case=snapshots_with_flows(),
    options=st.sampled_from(OPTIONS),
    draw=st.randoms(use_true_random=False),
)
def test_drawn_clusters_and_mutants_of_them(
    case: tuple[list[Manifest], object], options: netpolc.Options, draw: Random
) -> None:
    """What is told is confirmed by the other proof. Of what is proven, which has hundreds of
    classes, it judges a few pairs.
    """
    program = netpolc.compile(netpolc.load_objects(case[0]))
    ruleset = program.ruleset(None, options)
    listing = parse_text.parse(ruleset.text())
    proof = Proof(program, listing, audit=options.audit)
    assert verdict(proof) == ""
    assert not proof.by_pairs
    every = list(mutants(ruleset.json()))
    for mutant in draw.sample(every, min(3, len(every))):
        try:
            listing = parse_json.parse(mutant.text)
        except RulesetError:
            continue
        if verdict(Proof(program, listing, audit=options.audit)) == "":
            pairs = PairProof(program, listing, audit=options.audit)
            for version in Family:
                classes = pairs.here.classes.addresses(version)
                for _ in range(40):
                    ends = draw.choice(classes), draw.choice(classes)
                    assert list(pairs.of_classes(*ends)) == [], (mutant.kind, mutant.where)


def comparisons(name: str, options: netpolc.Options) -> Iterator[tuple[Comparison, PairProof]]:
    """Of both families."""
    program = program_of(name)
    listing = parse_text.parse(program.ruleset(None, options).text())
    pairs = PairProof(program, listing, audit=options.audit)
    kinds = KindAxis(program, listing, pairs.here.classes)
    for version in Family:
        yield Comparison(program, listing, pairs, kinds, version), pairs


@pytest.mark.parametrize("scenario", everything(), ids=lambda own: own.name)
def test_addresses_are_the_same_classes_by_labels_and_by_edges(scenario: Scenario) -> None:
    both = comparisons(scenario.name, netpolc.Options(hook="postrouting"))
    for (own, pairs), version in zip(both, Family, strict=True):
        by_edges = [known.members for known in pairs.here.classes.addresses(version)]
        assert [known.members for known in own.axes.addresses.classes] == by_edges


def drawn(own: Comparison, pairs: PairProof, box: Box, single: bool, draw: Random) -> Packet | None:
    """A packet of a box; None if the classes drawn have none that is crossed."""
    source, destination, kind, variant = (draw.choice(list(numbers(bits))) for bits in box[:4])
    classes = own.axes.addresses.classes
    if single:
        chosen = own.singles[False].ends(source)
        ends = chosen.source, chosen.destination
    else:
        several = [
            pair
            for pair in pairs.class_pairs(classes[source], classes[destination])
            if pair[0] != pair[1] and pairs.here.is_judged(*pair)
        ]
        if not several or own.not_crossed.get(source, 0) >> destination & 1:
            return None
        ends = several[0]
    protocol, port, icmpv6_type = own.axes.kinds.atoms[kind]
    chosen_variant = own.axes.variants.variants[variant]
    return packet(
        *ends,
        protocol,
        port,
        state=chosen_variant.state,
        direction=chosen_variant.direction,
        judged=bool(chosen_variant.judged),
        hop_limit=chosen_variant.hop_limit,
        icmpv6_type=icmpv6_type,
        local=pairs.here.sends(*ends),
        link=chosen_variant.link,
        acknowledges=chosen_variant.acknowledges,
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("three-tier", OPTIONS[0]),
        ("three-tier", RECHECK),
        ("layouts", OPTIONS[0]),
        ("layouts", netpolc.Options(hook="postrouting", audit=True)),
        ("pod-to-itself-every-address", netpolc.Options(deny="reject")),
    ],
)
def test_packets_end_where_the_tracer_says(name: str, options: netpolc.Options) -> None:
    draw, seen = Random(1), set[tuple[object, ...]]()
    for own, pairs in comparisons(name, options):
        for single in (False, True):
            for scope in SCOPES:
                universe = own.singles[False] if single else own.crosses[False]
                boxes = list(own.boxes(single, False))
                ends = Walk(pairs.sender.listing(scope, False), universe).ends(boxes)
                assert sum(end.box.size for end in ends) == sum(box.size for box in boxes)
                for end in draw.sample(ends, min(40, len(ends))):
                    sent = drawn(own, pairs, end.box, single, draw)
                    if sent is None:
                        continue
                    trace = Tracer(pairs.sender.listing(scope, False)).trace(sent)
                    note = end.box.note
                    said = end.passed, note.audits, note.counted, note.remembered, note.lost
                    found = trace.passed, trace.audits, trace.counted, trace.remembered, trace.lost
                    assert said == found, sent
                    seen.add(said[:2])
    assert len(seen) > 1


def test_boxes_that_become_too_many_are_walked_as_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of("port-range")
    text = program.ruleset().text()
    monkeypatch.setattr(walking, "MOST_BOXES", 0)
    proof = Proof(program, parse_text.parse(text))
    assert proof.first() == []
    assert "tells too many kinds of packets apart" in proof.by_pairs
    assert proof.cases > 0
    wrong = text.replace("goto ingress comment", "accept comment").replace("dport 32000", "dport 3")
    assert wrong != text
    assert Proof(program, parse_text.parse(wrong)).first()


def test_a_walk_that_loses_packets_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of("port-range")
    proof = Proof(program, parse_text.parse(program.ruleset().text()))
    whole = Walk.ends
    monkeypatch.setattr(Walk, "ends", lambda walk, boxes: whole(walk, boxes)[1:])
    with pytest.raises(InvariantError, match="lost packets"):
        proof.first()


def test_a_difference_that_is_not_confirmed_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    program = program_of("port-range")
    proof = Proof(program, parse_text.parse(program.ruleset().text()))
    whole = Walk.ends

    def turned(walk: Walk, boxes: list[Box]) -> list[Exit]:
        return [replace(own, passed=not own.passed) for own in whole(walk, boxes)]

    monkeypatch.setattr(Walk, "ends", turned)
    with pytest.raises(InvariantError, match="not confirmed"):
        proof.first()
