"""Who can reach whom as one HTML file (docs/report.md): document.py (the data), page.py (the file),
and beside them the page's own style and scripts.
"""

from __future__ import annotations

from netpolc.analysis.report.document import SeenFlow, SeenTraffic
from netpolc.analysis.report.page import comparison, report

__all__ = ["SeenFlow", "SeenTraffic", "comparison", "report"]
