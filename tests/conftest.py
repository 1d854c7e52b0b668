"""Shared fixtures and options.

`--update-golden` rewrites what the code prints: every `expected/` folder of the tests,
and the console blocks of the documents. With
NETPOLC_REQUIRE_KERNEL=1 (as in CI) a kernel test that cannot run fails instead of being skipped.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import hypothesis
import pytest

from tests.lab import unavailable
from tests.lab.fixtures import injector

__all__ = ["injector"]

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    if item.get_closest_marker("kernel") is not None:
        reason = unavailable()
        if reason is not None:
            if os.environ.get("NETPOLC_REQUIRE_KERNEL"):
                pytest.fail(f"kernel tests are required here: {reason}")
            pytest.skip(reason)
    yield
