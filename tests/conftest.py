"""Shared fixtures and options.

`--update-golden` rewrites what the code prints: every `expected/` folder of the tests,
and the console blocks of the documents. With NETPOLC_REQUIRE_KERNEL=1 and
NETPOLC_REQUIRE_BROWSER=1 (as in CI) a test that cannot run for want of a kernel or of a browser
fails instead of being skipped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import hypothesis
import pytest

from tests.browser import devtools
from tests.helpers import lab
from tests.helpers.lab.fixtures import injector

__all__ = ["injector"]

hypothesis.settings.register_profile("default", deadline=None, print_blob=True)
hypothesis.settings.register_profile(  # a commit is judged by the same examples each time
    "ci", hypothesis.settings.get_profile("default"), derandomize=True, database=None
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure() -> None:
    """In the background SIGINT is ignored, under nohup SIGHUP: so would every command it tries."""
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite golden files")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None]:
    for need, unavailable in (("kernel", lab.unavailable), ("browser", devtools.unavailable)):
        if item.get_closest_marker(need) is not None:
            reason = unavailable()
            if reason is not None:
                if os.environ.get(f"NETPOLC_REQUIRE_{need.upper()}"):
                    pytest.fail(f"{need} tests are required here: {reason}")
                pytest.skip(reason)
    yield
