"""Pods that the snapshot knows by name and has no address of, as of manifests.

Comes in: ends of flows by address or name. Goes out: the flows that rules may tell apart, and what
policies say of all of them, None where that differs. Refused (`ValueError`): what no packet is.
"""

from netpolc.flows.unplaced.possible import (
    MeantEnd,
    UnplacedFlows,
    example_flow,
    unplaced_flows,
)

__all__ = ["MeantEnd", "UnplacedFlows", "example_flow", "unplaced_flows"]
