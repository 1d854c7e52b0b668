"""The forms in which `list` and `diff` write what they found: one line each.

Lines for people are drawn by the terminal, which knows its colours; pages of HTML are made by
`report`, with the reasons.
"""

from __future__ import annotations

from collections.abc import Callable

from netpolc.analysis.connectivity import changes, listing

LISTINGS: dict[str, Callable[[listing.Connections], str]] = {
    "json": listing.as_json,
    "csv": listing.as_csv,
    "md": listing.as_markdown,
    "dot": listing.as_dot,
    "mermaid": listing.as_mermaid,
}
"""Of `list`."""
DIFFERENCES: dict[str, Callable[[changes.Changes], str]] = {
    "json": changes.as_json,
    "csv": changes.as_csv,
    "md": changes.as_markdown,
    "dot": changes.as_dot,
    "mermaid": changes.as_mermaid,
}
"""Of `diff`."""
