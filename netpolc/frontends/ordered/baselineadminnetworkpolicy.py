"""BaselineAdminNetworkPolicy of policy.networking.k8s.io/v1alpha1, as its last release has it.

Comes in: one manifest. Goes out: one `Policy` of the Baseline tier with the last priority; beside a
ClusterNetworkPolicy of that priority the name decides, as among any two. Refused: what the CRD
refuses (`ordered.py`), and so any other name than `default`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from netpolc.core.ir import Action, Tier
from netpolc.frontends.fields import Fields
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.ordered import adminnetworkpolicy
from netpolc.frontends.ordered.ordered import ordered_policies
from netpolc.frontends.ordered.ordered_fields import LAST_PRIORITY, PODS

KIND, VERSION = "BaselineAdminNetworkPolicy", adminnetworkpolicy.VERSION


def _rank(fields: Fields, spec: dict[str, Any]) -> tuple[Tier, int]:
    return Tier.BASELINE, LAST_PRIORITY


DIALECT = replace(
    adminnetworkpolicy.DIALECT,
    rank=_rank,
    ranked=(),
    actions={"Allow": Action.ACCEPT, "Deny": Action.DENY},
    egress=(*PODS, "nodes", "networks"),
    only="default",
    hints={**adminnetworkpolicy.HINTS, "priority": "it has none: it is the only one of its kind"},
)
FRONTEND = Frontend(
    {KIND: (VERSION,)}, partial(ordered_policies, dialect_of=lambda _: DIALECT), cluster_scoped=True
)
