"""The chart's values, as its schema has Helm judge them before it fills in a template.

In: values as an operator might write them. Out: taken or refused, against an expectation by hand;
real Helm 4 was asked what the templates make of each of the odd ones without the schema.
"""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import yaml

from netpolc.agent.telling.health import listening
from tests.helpers.scenarios import ROOT

CHART = ROOT / "deploy/chart"


def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


def test_the_schema_of_the_chart_knows_its_values_and_no_others() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema())
    # What Helm itself adds, and what a chart that has this one as a part switches it by.
    assert set(schema()["properties"]) - {"global", "enabled"} == set(values)
    assert set(schema()["properties"]["image"]["properties"]) == set(values["image"])


@pytest.mark.parametrize(
    "odd",
    [
        {"pendng": "deny"},  # would leave pods open that are meant to be closed
        {"pending": "denied"},
        {"events": "false"},  # a text that is not empty is true
        {"image": {"repository": "netpolc", "tag": 20261201}},  # a float: netpolc:2.0261201e+07
        {"args": "--log=10/second"},
        {"args": [5]},
        {"listen": 9841},
        {"listen": ""},
        {"listen": "127.0.0.1:0"},
        {"listen": "::1:9841"},
        {"maxUnavailable": "1"},
        {"nodeSelector": {"gpu": True}},
    ],
)
def test_the_schema_refuses_values_that_mean_something_else(odd: dict[str, Any]) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, **odd}, schema())


@pytest.mark.parametrize("where", ["0.0.0.0:9841", "[::]:9841", ":9841", "10.0.0.1:80"])
def test_the_schema_takes_what_the_agent_takes(where: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate({**values, "listen": where}, schema())
    listening(where)
