"""Loading a node's ruleset into the kernel, relative to a linear chain for every pod."""

from __future__ import annotations

import pytest

from benches import kernel
from benches.conftest import Benchmark
from benches.timing import Ratio
from tests.helpers.lab import unavailable


@pytest.mark.skipif(unavailable() is not None, reason=str(unavailable()))
def test_kernel_load(benchmark: Benchmark) -> None:
    pair = kernel.pair(120)
    answers = kernel.verdicts(pair)
    assert any(answers)
    assert not all(answers)
    rounds = benchmark.pedantic(kernel.load_rounds, args=(pair, 3), rounds=1)
    ratio = Ratio("kernel load", "linear chain per pod", tuple(rounds))
    benchmark.extra_info["ratio_to_anchor"] = round(ratio.median, 4)
