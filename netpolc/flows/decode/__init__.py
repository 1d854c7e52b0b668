"""Flow logs of every format, decoded to record batches of one schema (`schema.SCHEMA`).

`telling` knows the formats, each has a module, `decoding` makes batches of them. What needs pyarrow
is imported when it is first asked for: rows of CSV and JSON lines are judged without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netpolc.flows.decode.telling import FORMATS as FORMATS

if TYPE_CHECKING:
    from netpolc.flows.decode.decoding import decoded_batches as decoded_batches


def __getattr__(name: str) -> Any:
    if name != "decoded_batches":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from netpolc.flows.decode.decoding import decoded_batches

    return decoded_batches
