"""The kinds of objects that are read: one line each."""

from __future__ import annotations

from netpolc.frontends import (
    adminnetworkpolicy,
    baselineadminnetworkpolicy,
    clusternetworkpolicy,
    expectations,
    namespaces,
    networkpolicy,
    nodes,
    pods,
    workloads,
)
from netpolc.frontends.frontend import Frontend

KINDS: tuple[Frontend, ...] = (
    namespaces.FRONTEND,
    nodes.FRONTEND,
    pods.FRONTEND,
    workloads.FRONTEND,
    networkpolicy.FRONTEND,
    clusternetworkpolicy.FRONTEND,
    adminnetworkpolicy.FRONTEND,
    baselineadminnetworkpolicy.FRONTEND,
    expectations.FRONTEND,
)
