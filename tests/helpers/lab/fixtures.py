"""Pytest fixtures of the laboratory, for `tests/conftest.py` to import.

In: nothing. Out: the session's `Injector`. Refused: a machine that cannot run it, where the tests
are skipped with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.lab import Injector, unavailable


@pytest.fixture(scope="session")
def injector() -> Iterator[Injector]:
    """One injector for the whole session; a test loads its own ruleset and may flush first."""
    reason = unavailable()
    if reason is not None:
        pytest.skip(reason)
    with Injector() as shared:
        yield shared
