"""Nine independent loads a row: the fastest that table lookups can be on a machine.

In: a matcher (for the sizes of its tables) and two columns. Out: a callable to time. Refused: a
machine without a C compiler (`OSError`).
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netpolc.backends.matcher import Matcher


@cache
def _library() -> Any:
    folder = Path(tempfile.mkdtemp(prefix="netpolc-ceiling-"))
    source, target = Path(__file__).with_name("ceiling.c"), folder / "ceiling.so"
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", source, "-o", target], check=True)
    return ctypes.CDLL(str(target))


def ceiling(
    matcher: Matcher, src: NDArray[np.uint32], dst: NDArray[np.uint32]
) -> Callable[[], object]:
    """The loads of one pass over the columns."""
    out = np.empty(len(src), dtype=np.uint8)
    tables: list[Any] = []
    buffers = matcher.tables()
    pairs = "ingress_blocks" if matcher.factored else "pairs"
    for name, width in (("cells4", 4), (pairs, 2), ("atoms", 2), ("bits", 4)):
        view = memoryview(buffers[name]).cast("B")
        elements = 1 << (view.nbytes // width).bit_length() - 1
        table = np.frombuffer(view, dtype=f"u{width}", count=elements)
        tables += [table.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint32(elements - 1)]
    columns = [column.ctypes.data_as(ctypes.c_void_p) for column in (src, dst, out)]
    loads = _library().nine_loads
    return lambda: loads(*tables, *columns, ctypes.c_size_t(len(out)))
