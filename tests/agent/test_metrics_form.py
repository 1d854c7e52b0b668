"""What `/metrics` gives out, as promtool of Prometheus reads it.

In: an agent in a namespace, with every number that it can have. Out: promtool's findings, of which
there may be none.
"""

from __future__ import annotations

import shutil
import subprocess

import pytest

import netpolc
from netpolc.agent.telling.metrics import HISTOGRAM, METRICS
from netpolc.agent.telling.scrape import table_counters
from tests.agent.stage import cluster, staged
from tests.helpers.lab import Router


@pytest.mark.kernel
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_wrong() -> None:
    with Router() as router, staged(router, options=netpolc.Options(pending="deny")) as stage:
        stage.list_all(cluster())
        stage.until(lambda: stage.agent.enforced)
        metrics = stage.report.metrics
        for name, (kind, _) in METRICS.items():
            if kind == HISTOGRAM:
                metrics.observe(name, 0.2)
            else:
                metrics.set(name, 1, kind='a "kind"\\of\nits own')
        text = metrics.text() + router.call(lambda: table_counters("netpolc"))
    assert all(f"# TYPE {name} " in text for name in METRICS)
    command = ["promtool", "check", "metrics"]
    found = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
