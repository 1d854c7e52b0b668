"""An audit in every form; text.py says what of it is shown.

Comes in: `Findings`. Goes out: text, or the bytes of a Parquet file (parquet.py). The forms that
cite lines of manifests (sarif.py) or list everybody (page.py) take the programs that judged, too.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolc.flows.forms.text import NUMBERS, Findings, as_csv, as_json, shown, told

FORMS: dict[str, Callable[[Findings], str]] = {"json": as_json, "csv": as_csv}
"""Forms that need nothing else."""

__all__ = ["FORMS", "NUMBERS", "Findings", "shown", "told"]
