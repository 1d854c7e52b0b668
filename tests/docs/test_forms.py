"""Every form of output stands in the manual of its command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from netpolc.cli import COMMANDS
from netpolc.cli.parameters import Registered
from tests.cli.invocation import command_of

ROOT = Path(__file__).parents[2]
MANUAL = {
    "audit": "docs/flow-logs.md",
    "recommend": "docs/recommend.md",
    "check": "docs/check.md",
    "compile": "docs/ir.md README.md docs/verify.md",
    "diff": "docs/diff.md",
    "eval": "docs/explain.md",
    "explain": "docs/explain.md",
    "list": "docs/list.md",
    "status": "docs/counters.md",
    "test": "docs/test.md",
}
FORMS = [
    (name, form)
    for name in sorted(COMMANDS)
    for option in command_of(name).params
    if isinstance(option.type, Registered)
    for form in option.type.names()
]


def test_there_are_forms() -> None:
    assert {name for name, _ in FORMS} == MANUAL.keys()


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_form_is_in_the_manual(name: str, form: str) -> None:
    option = next(own for own in command_of(name).params if isinstance(own.type, Registered))
    if form == option.default:
        return  # it is what all examples of the command show
    text = "".join((ROOT / path).read_text() for path in MANUAL[name].split())
    mention = rf"`[^`\n]*\b{form}\b[^`\n]*`|-o {form}\b"
    assert re.search(mention, text), f"{MANUAL[name]} says nothing of {form}"
