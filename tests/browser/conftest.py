"""One browser for all tests of pages; each test has its own tab."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.devtools import Browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    found = Browser()
    try:
        yield found
    finally:
        found.close()
