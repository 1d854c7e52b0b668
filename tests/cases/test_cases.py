"""Every example and every case: hand-written flows against semantics, tracer, kernel, goldens."""

from __future__ import annotations

from pathlib import Path

import pytest

import netpolc
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.tracer import Tracer, packet
from netpolc.core.nets import format_address
from tests.helpers import scenarios
from tests.helpers.lab import Injector
from tests.helpers.scenarios import Scenario, everything

CASES = [scenario for scenario in everything() if scenario.folder.parent.name == "cases"]
every_scenario = pytest.mark.parametrize("scenario", everything(), ids=lambda s: s.name)


def test_there_are_scenarios_of_every_document() -> None:
    names = {scenario.name for scenario in everything()}
    assert len(names) == len(everything()) > 100
    for prefix in ("v16-", "v17-", "v18-", "recipe-", "three-tier", "full-example"):
        assert any(name.startswith(prefix) for name in names), prefix


@every_scenario
def test_semantics_agree_with_the_flows(scenario: Scenario) -> None:
    program = scenario.program()
    wrong = [
        f"{scenario.folder}/flows.txt:{expected.line}: {flow}"
        for expected in scenario.expected
        for flow in expected.flows(program)
        if netpolc.evaluate(program, flow).allowed is not expected.allowed
    ]
    assert wrong == []


@every_scenario
@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_the_tracer_agrees_with_the_flows(scenario: Scenario, hook: str) -> None:
    """The ruleset itself, read back from both of its forms, without a kernel."""
    program = scenario.program()
    ruleset = program.ruleset(options=netpolc.Options(hook=hook))
    wrong = [
        f"{scenario.folder}/flows.txt:{expected.line}: {flow}"
        for listing in (parse_text.parse(ruleset.text()), parse_json.parse(ruleset.json()))
        for expected in scenario.expected
        for flow in expected.flows(program)
        if scenarios.forwarded(program, flow)
        and Tracer(listing)
        .trace(packet(flow.source, flow.destination, flow.protocol, flow.port))
        .passed
        is not expected.allowed
    ]
    assert wrong == []


@pytest.mark.kernel
@every_scenario
@pytest.mark.parametrize("hook", ["forward", "postrouting"])
def test_the_kernel_agrees_with_the_flows(
    scenario: Scenario, hook: str, injector: Injector
) -> None:
    program = scenario.program()
    flows, wanted = [], []
    for expected in scenario.expected:
        for flow in expected.flows(program):
            if scenarios.forwarded(program, flow):
                ends = format_address(flow.source), format_address(flow.destination)
                flows.append((*ends, flow.protocol, flow.port))
                wanted.append(expected.allowed)
    injector.flush()
    injector.load(program.ruleset(options=netpolc.Options(hook=hook)).text())
    arrived = injector.judge(flows)
    assert [(f, a) for f, a, w in zip(flows, arrived, wanted, strict=True) if a is not w] == []


@pytest.mark.parametrize("scenario", CASES, ids=lambda s: s.name)
@pytest.mark.parametrize("form", ["ruleset.nft", "program.json"])
def test_output_is_as_it_was(scenario: Scenario, form: str, update_golden: bool) -> None:
    program = scenario.program()
    text = program.ruleset().text() if form == "ruleset.nft" else program.document()
    golden: Path = scenario.folder / "expected" / form
    if update_golden:
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), "pytest --update-golden rewrites it"
