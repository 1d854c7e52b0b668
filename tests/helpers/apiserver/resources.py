"""The resources of the fake API server, and how it says what it has (discovery)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

POLICY = "policy.networking.k8s.io"
GATEWAY = "gateway.networking.k8s.io"


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """A resource. Items of `custom` ones carry kind and apiVersion in lists, others do not."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    custom: bool = False
    short: tuple[str, ...] = ()
    empty: dict[str, Any] = field(default_factory=dict)
    """What a bookmark of it holds beside its metadata: fields that Go does not omit."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def described(self) -> dict[str, Any]:
        """Its entry in the list of a version's resources."""
        verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
        own: dict[str, Any] = {
            "name": self.plural,
            "singularName": self.kind.lower(),
            "namespaced": self.namespaced,
            "kind": self.kind,
            "verbs": verbs,
        }
        return {**own, "shortNames": list(self.short)} if self.short else own


_SPECS: dict[str, Any] = {"spec": {}, "status": {}}
BUILTIN = (
    Served("", "v1", "namespaces", "Namespace", False, short=("ns",), empty=_SPECS),
    Served("", "v1", "nodes", "Node", False, short=("no",), empty=_SPECS),
    Served(
        "", "v1", "pods", "Pod", short=("po",), empty={"spec": {"containers": None}, "status": {}}
    ),
    Served("", "v1", "services", "Service", short=("svc",), empty=_SPECS),
    Served("", "v1", "events", "Event", short=("ev",)),
    Served("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Served("", "v1", "replicationcontrollers", "ReplicationController", short=("rc",)),
    Served("apps", "v1", "deployments", "Deployment", short=("deploy",)),
    Served("apps", "v1", "replicasets", "ReplicaSet", short=("rs",)),
    Served("apps", "v1", "daemonsets", "DaemonSet", short=("ds",)),
    Served("apps", "v1", "statefulsets", "StatefulSet", short=("sts",)),
    Served("batch", "v1", "jobs", "Job"),
    Served("batch", "v1", "cronjobs", "CronJob", short=("cj",)),
    Served(
        "networking.k8s.io",
        "v1",
        "networkpolicies",
        "NetworkPolicy",
        short=("netpol",),
        empty={"spec": {"podSelector": {}}},
    ),
    Served("networking.k8s.io", "v1", "ingresses", "Ingress", short=("ing",)),
    Served("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", False),
)
CUSTOM = (
    Served(POLICY, "v1alpha2", "clusternetworkpolicies", "ClusterNetworkPolicy", False, True),
    Served(POLICY, "v1alpha1", "adminnetworkpolicies", "AdminNetworkPolicy", False, True),
    Served(
        POLICY,
        "v1alpha1",
        "baselineadminnetworkpolicies",
        "BaselineAdminNetworkPolicy",
        False,
        True,
    ),
    Served(GATEWAY, "v1", "httproutes", "HTTPRoute", True, True),
)


def versions(resources: Iterable[Served]) -> dict[str, list[str]]:
    """The versions of each group but the core."""
    found: dict[str, list[str]] = {}
    for own in resources:
        if own.group and own.version not in found.setdefault(own.group, []):
            found[own.group].append(own.version)
    return found


def group_of(name: str, own_versions: list[str]) -> dict[str, Any]:
    """A group as `/apis` lists it."""
    listed = [{"groupVersion": f"{name}/{own}", "version": own} for own in own_versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def discovery(path: str, resources: Iterable[Served], address: str) -> dict[str, Any] | None:
    """What is at `/api`, `/apis` and below; None where there is nothing."""
    every = list(resources)
    groups = versions(every)
    match path.strip("/").split("/"):
        case ["api"]:
            where = [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}]
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": where}
        case ["apis"]:
            listed = [group_of(*own) for own in groups.items()]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}
        case ["apis", group] if group in groups:
            return {"kind": "APIGroup", "apiVersion": "v1", **group_of(group, groups[group])}
        case ["api", version]:
            return _listed("", version, every)
        case ["apis", group, version]:
            return _listed(group, version, every)
    return None


def _listed(group: str, version: str, every: Iterable[Served]) -> dict[str, Any] | None:
    own = [one.described() for one in every if (one.group, one.version) == (group, version)]
    if not own:
        return None
    text = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": text, "resources": own}
