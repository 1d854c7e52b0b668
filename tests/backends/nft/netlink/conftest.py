"""A namespace for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.lab import Router


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as router:
        yield router
