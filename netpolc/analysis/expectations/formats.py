"""Results of expectations as lines of text, JSON (docs/test.md) and JUnit.

Comes in: `Result`s. Goes out: text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from netpolc.analysis.expectations.judge import Result
from netpolc.analysis.junit import Case, CaseResult, suite
from netpolc.core.cluster import Unread, not_judged, unread_kinds
from netpolc.core.foreign import to_json

VERSION = 1
"""Of the JSON document; it changes when a field changes its meaning."""


def lines(results: Sequence[Result], unread: Sequence[Unread] = ()) -> Iterator[tuple[str, str]]:
    """Lines with their colours: one for an expectation, more for why it failed, and the sum."""
    for result in results:
        name = f"{_group(result)}: {result.expectation.title}"
        if result.passed:
            yield f"pass  {name}", "green"
            continue
        yield f"FAIL  {name}", "red"
        yield from ((f"      {line}", "") for line in why(result))
    if unread:
        yield not_judged(unread), "yellow"
    failed = sum(not result.passed for result in results)
    flows = sum(result.judged for result in results)
    many = "expectation" if len(results) == 1 else "expectations"
    yield f"{len(results)} {many}, {failed} failed; {flows} flows judged", "bold"


def why(result: Result) -> Iterator[str]:
    """Where the expectation is, flows that failed it, and the rules that decide them."""
    yield f"at {result.expectation.origin.place()}"
    for failure in result.failures:
        yield failure.flow
        yield from (f"  {reason}" for reason in failure.reasons)
    more = result.failed - len(result.failures)
    if more:
        yield f"and {more} more of {result.judged} flows"


def _group(result: Result) -> str:
    return result.expectation.origin.path


def as_json(results: Sequence[Result], unread: Sequence[Unread] = ()) -> str:
    """The document of docs/test.md."""
    found = [
        {
            "object": _group(result),
            "name": result.expectation.title,
            "place": result.expectation.origin.place(),
            "passed": result.passed,
            "judged": result.judged,
            "failed": result.failed,
            "failures": [
                {"flow": failure.flow, "reasons": list(failure.reasons)}
                for failure in result.failures
            ],
        }
        for result in results
    ]
    told = {"unread": unread_kinds(unread)} if unread else {}
    return to_json({"version": VERSION, "expectations": found, **told}, indent=2) + "\n"


def as_junit(results: Sequence[Result], unread: Sequence[Unread] = ()) -> str:
    """A test case an expectation."""
    return suite("netpolc test", [_case(result) for result in results], not_judged(unread))


def _case(result: Result) -> Case:
    group, title = _group(result), result.expectation.title
    if result.passed:
        return Case(group, title)
    return Case(group, title, CaseResult.FAILED, result.failures[0].flow, tuple(why(result)))


FORMS: dict[str, Callable[[Sequence[Result], Sequence[Unread]], str]] = {
    "json": as_json,
    "junit": as_junit,
}
"""By the name of the form; the terminal prints `lines` in colour."""
