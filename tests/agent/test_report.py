"""What the agent tells of what others wrote: no more than anybody reads."""

from __future__ import annotations

from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.report import Report
from netpolc.apiserver import Trouble


def test_long_texts_of_others_are_cut() -> None:
    lines: list[str] = []
    report = Report("node-a", LogLines(lines.append))
    report.missing(["Pod"])
    report.event(Trouble("Pod", "server " + "x" * 50_000))
    report.refused_event("Pod", "y" * 50_000)
    for _ in range(2):
        report.objects({("NetworkPolicy", "shop", "db"): "z" * 50_000})
    assert len(lines) == 3
    assert all(len(line) < 1200 for line in lines)
    assert "(50,007 characters)" in lines[0]
    assert "server xxx" in report.waiting()
    assert len(report.waiting()) < 1200
