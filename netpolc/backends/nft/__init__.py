"""The nftables backend: a Program and a node go in, a ruleset comes out (text or JSON)."""

from netpolc.backends.nft.lower import Lowering
from netpolc.backends.nft.options import LOG_RATE, TABLE, Options, check_table
from netpolc.backends.nft.ruleset import Ruleset

__all__ = ["LOG_RATE", "TABLE", "Lowering", "Options", "Ruleset", "check_table"]
