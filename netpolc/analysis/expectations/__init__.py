"""Tests of policies: expectations about flows, judged by the matcher.

`Policies` is what a test-suite in Python asks; `netpolc test` asks the same of `Expectations`
objects.
"""

from __future__ import annotations

from netpolc.analysis.expectations.judge import ExpectationRunner, Failure, Result
from netpolc.analysis.expectations.policies import Policies

__all__ = ["ExpectationRunner", "Failure", "Policies", "Result"]
