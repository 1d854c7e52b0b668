"""What tests of the kernel begin with: a namespace of their own, or the lab of their module."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolc.backends.nft.rollout import runtime
from netpolc.passes import arrange
from tests.helpers.lab import PodLab, Router
from tests.helpers.lab.pods import TRACKING
from tests.helpers.scenarios import ROOT
from tests.kernel.compiling import Machine


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


@pytest.fixture
def machine(router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(runtime, "FOLDER", tmp_path / "run")
    folder = tmp_path / "cluster"
    shutil.copytree(ROOT / "examples" / "three-tier", folder)
    made = Machine(router, folder)
    real = arrange.arrange

    def counted(*arguments: object) -> object:
        made.compiled += 1
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(arrange, "arrange", counted)
    return made


@pytest.fixture
def applied(machine: Machine) -> Machine:
    """One with its table loaded by `apply`, which is known to be what the folder gives."""
    assert machine.compiles("apply")
    assert not machine.compiles("apply")
    return machine
