"""JUnit's XML, which every CI system shows as test results.

Comes in: test cases. Goes out: one suite. Nothing is refused: characters that XML cannot hold are
escaped as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from xml.etree import ElementTree

from netpolc.core.foreign import inert


class CaseResult(StrEnum):
    """What became of a case; the value is the element's name."""

    PASSED = ""
    FAILED = "failure"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Case:
    """One test case; `message` says why it did not pass, `details` more of it, in lines."""

    classname: str
    name: str
    outcome: CaseResult = CaseResult.PASSED
    message: str = ""
    details: tuple[str, ...] = ()


def suite(name: str, cases: Sequence[Case], unread: str = "") -> str:
    """An XML document with these cases, and what is not judged as a property of the suite."""
    counts = {
        "name": name,
        "tests": str(len(cases)),
        "failures": str(sum(case.outcome is CaseResult.FAILED for case in cases)),
        "skipped": str(sum(case.outcome is CaseResult.SKIPPED for case in cases)),
    }
    root = ElementTree.Element("testsuites")
    found = ElementTree.SubElement(root, "testsuite", counts)
    if unread:
        held = ElementTree.SubElement(found, "properties")
        ElementTree.SubElement(held, "property", {"name": "unread", "value": inert(unread)})
    for case in cases:
        own = {"classname": inert(case.classname), "name": inert(case.name)}
        element = ElementTree.SubElement(found, "testcase", own)
        if case.outcome is not CaseResult.PASSED:
            why = ElementTree.SubElement(element, case.outcome, {"message": inert(case.message)})
            why.text = "\n".join(map(inert, case.details)) or None
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
