"""C that is compiled on the spot, for what Python cannot time or send itself."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path


@cache
def library(source: Path) -> ctypes.CDLL:
    """The functions of a C file; nothing of it stays on the disk."""
    with tempfile.TemporaryDirectory(prefix="netpolc-benches-") as folder:
        target = Path(folder) / f"{source.stem}.so"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", source, "-o", target], check=True)
        return ctypes.CDLL(str(target))
