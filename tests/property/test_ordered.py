"""Rulesets of drawn clusters with ordered tiers are what the policies mean, in either layout.

In: clusters of `tests.helpers.ordered`. Out: no difference in the proof, in text and in JSON, with
every kind of options, and rows of chains that no number of policies makes longer.
"""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft.lower import cost
from netpolc.backends.nft.objects import longest_row
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.proof import Proof
from tests.helpers import ordered

OPTIONS = (
    netpolc.Options(),
    netpolc.Options(log="3/hour", deny="reject"),
    netpolc.Options(hook="postrouting", established="recheck"),
    netpolc.Options(audit=True),
    netpolc.Options(established="recheck", log="3/hour"),
)
LONGEST = 14
"""The longest row of chains there is, as docs/internals/ruleset.md counts it."""
LAYOUTS = {"linear": True, "merged": False, "by cost": None, "little room": False}
LITTLE = 128
"""Room for the maps of up to four lists of a dual-stack node that few pods answer."""
PATIENT = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def force(monkeypatch: pytest.MonkeyPatch, linear: bool | None) -> None:
    if linear is not None:
        monkeypatch.setattr(cost, "linear", lambda asked, blocks: linear)
        monkeypatch.setattr(cost, "FEW_RULES", 10_000)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(PATIENT, max_examples=25)
@given(seed=st.integers(0, 1 << 32), options=st.sampled_from(OPTIONS), audited=st.booleans())
def test_what_is_emitted_is_what_the_policies_mean(
    monkeypatch: pytest.MonkeyPatch,
    layout: str,
    seed: int,
    options: netpolc.Options,
    audited: bool,
) -> None:
    force(monkeypatch, LAYOUTS[layout])
    if layout == "little room":
        monkeypatch.setattr(cost, "MAPPED", LITTLE)
    program = netpolc.compile(ordered.snapshot(Random(seed), audited=audited))
    for node in (None, "node-a"):
        ruleset = program.ruleset(node, options)
        text = node is None
        listing = parse_text.parse(ruleset.text()) if text else parse_json.parse(ruleset.json())
        proof = Proof(program, listing, node, audit=options.audit)
        assert [str(found) for found in proof.first()] == []
        assert proof.by_pairs == ""


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(PATIENT, max_examples=25)
@given(seed=st.integers(0, 1 << 32), audited=st.booleans())
def test_rows_of_chains_are_short(
    monkeypatch: pytest.MonkeyPatch, layout: str, seed: int, audited: bool
) -> None:
    force(monkeypatch, LAYOUTS[layout])
    program = netpolc.compile(ordered.snapshot(Random(seed), audited=audited))
    for hook, established, audit, log in product(
        ("forward", "postrouting"), ("keep", "recheck"), (False, True), (None, "3/hour")
    ):
        options = netpolc.Options(hook=hook, established=established, audit=audit, log=log)
        row = longest_row(program.ruleset(None, options).objects.values())
        assert len(row) <= LONGEST, row
