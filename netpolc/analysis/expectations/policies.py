"""Expectations in Python: assertions about the policies of a snapshot.

Comes in: manifests. Goes out: nothing, or an `AssertionError` that says which flow came out
otherwise and which rule decided it. Refused: what `load` refuses, ends and ports that are none.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import cached_property

from netpolc.analysis.expectations.formats import why
from netpolc.analysis.expectations.judge import ExpectationRunner
from netpolc.compiler import load, load_objects
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import InputError, UsageError
from netpolc.core.expectation import Expectation
from netpolc.frontends.expectations import API_VERSION, KIND

Ends = str | Sequence[str]
"""`[namespace/]name[Kind]` with `*` and `?`, an address or a CIDR; or several of those."""
Ports = str | int | Sequence[str | int]
"""`TCP/443`, `UDP/53`, `TCP/8000-8100`, `SCTP`, `ICMP`, `all`, a number for TCP; or several."""


class Policies:
    """The policies of some manifests, to be asserted about (docs/test.md).

    `paths` are files, folders or `-`; `namespace` is that of names without one. Raises `InputError`
    for manifests that cannot be used, `UsageError` for what is no path. Assertions raise
    `AssertionError` with the flow and the rules that decide it, `InputError` for ends and ports
    that are none, `UsageError` for ends that nothing has. pytest shows none of their own lines.
    """

    def __init__(
        self, *paths: str | os.PathLike[str], semantics: str = "current", namespace: str = "default"
    ) -> None:
        self._snapshot: Snapshot = load(paths, semantics=semantics)
        self._namespace = namespace

    @cached_property
    def _judge(self) -> ExpectationRunner:
        return ExpectationRunner(self._snapshot)

    def allows(self, source: Ends, destination: Ends, port: Ports = "all") -> None:
        """Assert that every flow from the sources to the destinations is allowed."""
        __tracebackhide__ = True
        self._expect({"from": source, "to": destination, "port": port, "expect": "allow"})

    def denies(self, source: Ends, destination: Ends, port: Ports = "all") -> None:
        """Assert that every flow from the sources to the destinations is denied."""
        __tracebackhide__ = True
        self._expect({"from": source, "to": destination, "port": port, "expect": "deny"})

    def reachable_only_from(self, destination: Ends, sources: Ends, port: Ports = "all") -> None:
        """Assert that nobody but the sources reaches the destinations."""
        __tracebackhide__ = True
        self._expect({"to": destination, "reachable-only-from": sources, "port": port})

    def reaches_only(self, source: Ends, destinations: Ends, port: Ports = "all") -> None:
        """Assert that the sources reach nobody but the destinations."""
        __tracebackhide__ = True
        self._expect({"from": source, "reaches-only": destinations, "port": port})

    def meet_expectations(self) -> None:
        """Assert what every `Expectations` object among the manifests says."""
        __tracebackhide__ = True
        if not self._snapshot.expectations:
            raise AssertionError("the manifests hold no Expectations object")
        self._assert(self._snapshot.expectations)

    def _expect(self, entry: dict[str, object]) -> None:
        __tracebackhide__ = True
        listed = {k: list(v) if isinstance(v, tuple) else v for k, v in entry.items()}
        metadata = {"name": "expectations", "namespace": self._namespace}
        stated = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": metadata,
            "expectations": [listed],
        }
        try:
            expectations = load_objects([stated]).expectations
        except InputError as error:  # told by its own words, without the way to it
            raise error.with_traceback(None) from None
        self._assert(expectations)

    def _assert(self, expectations: Iterable[Expectation]) -> None:
        __tracebackhide__ = True
        try:
            results = [self._judge.result(expectation) for expectation in expectations]
        except UsageError as error:
            raise error.with_traceback(None) from None
        failed = [result for result in results if not result.passed]
        if failed:
            raise AssertionError(
                "\n".join(
                    "\n  ".join((result.expectation.title, *why(result))) for result in failed
                )
            )
