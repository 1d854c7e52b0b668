"""Cluster-scoped policies of policy.networking.k8s.io, whose rules are asked in order."""
