"""What most tests of the kernel begin with: a namespace of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.lab import Router


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as router:
        yield router
