"""The nftables backend: a Program and a node go in, a ruleset comes out (text or JSON)."""

from netpolc.backends.nft.lower import Lowering
from netpolc.backends.nft.options import (
    KEEP,
    LOG_RATE,
    MARK_MASK,
    RECHECK,
    TABLE,
    Options,
    check_table,
)
from netpolc.backends.nft.ruleset import Ruleset

__all__ = [
    "KEEP",
    "LOG_RATE",
    "MARK_MASK",
    "RECHECK",
    "TABLE",
    "Lowering",
    "Options",
    "Ruleset",
    "check_table",
]
