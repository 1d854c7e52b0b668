"""The kinds of objects that are read: one line each."""

from __future__ import annotations

from netpolc.frontends import expectations
from netpolc.frontends.cluster import namespaces, nodes, pods, published, services, stubs, workloads
from netpolc.frontends.frontend import Frontend
from netpolc.frontends.networkpolicy import networkpolicy
from netpolc.frontends.ordered import (
    adminnetworkpolicy,
    baselineadminnetworkpolicy,
    clusternetworkpolicy,
)

KINDS: tuple[Frontend, ...] = (
    namespaces.FRONTEND,
    nodes.FRONTEND,
    pods.FRONTEND,
    workloads.FRONTEND,
    services.FRONTEND,
    services.RANGES,
    published.FRONTEND,
    stubs.FRONTEND,
    networkpolicy.FRONTEND,
    clusternetworkpolicy.FRONTEND,
    adminnetworkpolicy.FRONTEND,
    baselineadminnetworkpolicy.FRONTEND,
    expectations.FRONTEND,
)
