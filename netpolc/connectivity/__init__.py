"""Who can reach whom, read from a Program: reach.py (two places), parties.py (who), table.py (all
of them), ports.py (as text).
"""

from __future__ import annotations

from netpolc.connectivity.parties import Grouping, Party
from netpolc.connectivity.ports import describe
from netpolc.connectivity.table import Connection, Table

__all__ = ["Connection", "Grouping", "Party", "Table", "describe"]
