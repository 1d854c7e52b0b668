"""What tests of the kernel begin with: a namespace of their own, or the lab of their module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.helpers.lab import PodLab, Router
from tests.helpers.lab.pods import TRACKING


@pytest.fixture
def router() -> Iterator[Router]:
    with Router() as router:
        yield router


@pytest.fixture
def lab(shared_lab: PodLab) -> PodLab:
    """The `shared_lab` of a module as at its beginning: no ruleset, and no known connection."""
    shared_lab.node.flush()
    shared_lab.node.load(TRACKING)
    shared_lab.node.forget_connections()
    return shared_lab
