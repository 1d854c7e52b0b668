"""Who can reach whom, read from a Program: reach (two places), parties.py (who), table.py (all of
them), ports.py (as text). newcomers.py and exposure.py ask it for pods that do not exist yet,
selection.py leaves out, listing.py gives it a form; difference and planned compare two.
"""

from __future__ import annotations

from netpolc.analysis.connectivity.parties import Grouping, Party
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.analysis.connectivity.table import Connection, Table

__all__ = ["Connection", "Grouping", "Party", "Table", "describe_ports"]
