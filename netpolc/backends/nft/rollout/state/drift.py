"""How what is in force differs from what should be.

A table is what netpolc loaded if the digest of what the kernel lists is the one it says of itself
(`TableReader.content`, `digest.digest_of`): nothing has to be kept anywhere to tell.
"""

from __future__ import annotations

from enum import StrEnum


class Drift(StrEnum):
    """One kind of difference."""

    MISSING = "missing"
    MODIFIED = "modified"
    STALE = "stale"
