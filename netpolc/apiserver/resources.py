"""The resources that are asked for: one line each, so that other groups can stand in for them."""

from __future__ import annotations

from dataclasses import dataclass

POLICY_GROUP = "policy.networking.k8s.io"


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object and where the API server has it.

    `versions` are asked in this order; the first that the server has is read. Without a `required`
    kind nothing can be enforced; of others the server may know nothing.
    """

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    required: bool = False
    namespaced: bool = True

    def root(self, version: str) -> str:
        """The path of its version of its group, where the server says what it has (discovery)."""
        return f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"

    def path(self, version: str, namespace: str = "") -> str:
        """The path of its list: of all namespaces, or of one."""
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{self.root(version)}{inside}/{self.plural}"

    def api_version(self, version: str) -> str:
        """The apiVersion of its objects."""
        return f"{self.group}/{version}" if self.group else version


RESOURCES: tuple[Resource, ...] = (
    Resource("", ("v1",), "namespaces", "Namespace", required=True, namespaced=False),
    Resource("", ("v1",), "nodes", "Node", required=True, namespaced=False),
    Resource("", ("v1",), "pods", "Pod", required=True),
    Resource("networking.k8s.io", ("v1",), "networkpolicies", "NetworkPolicy", required=True),
    Resource(
        POLICY_GROUP,
        ("v1beta1", "v1alpha2"),
        "clusternetworkpolicies",
        "ClusterNetworkPolicy",
        namespaced=False,
    ),
    Resource(
        POLICY_GROUP,
        ("v1alpha1",),
        "adminnetworkpolicies",
        "AdminNetworkPolicy",
        namespaced=False,
    ),
    Resource(
        POLICY_GROUP,
        ("v1alpha1",),
        "baselineadminnetworkpolicies",
        "BaselineAdminNetworkPolicy",
        namespaced=False,
    ),
)
"""What a node enforces: the kinds that the agent follows."""

_GATEWAY = "gateway.networking.k8s.io"
ANALYSED: tuple[Resource, ...] = (
    *RESOURCES,
    Resource("", ("v1",), "services", "Service"),
    Resource("", ("v1",), "replicationcontrollers", "ReplicationController"),
    Resource("apps", ("v1",), "deployments", "Deployment"),
    Resource("apps", ("v1",), "replicasets", "ReplicaSet"),
    Resource("apps", ("v1",), "daemonsets", "DaemonSet"),
    Resource("apps", ("v1",), "statefulsets", "StatefulSet"),
    Resource("batch", ("v1",), "jobs", "Job"),
    Resource("batch", ("v1", "v1beta1"), "cronjobs", "CronJob"),
    Resource("networking.k8s.io", ("v1",), "ingresses", "Ingress"),
    Resource("networking.k8s.io", ("v1", "v1beta1"), "servicecidrs", "ServiceCIDR", False, False),
    Resource(_GATEWAY, ("v1", "v1beta1"), "httproutes", "HTTPRoute"),
    Resource(_GATEWAY, ("v1", "v1alpha2"), "grpcroutes", "GRPCRoute"),
    Resource(_GATEWAY, ("v1", "v1alpha3", "v1alpha2"), "tlsroutes", "TLSRoute"),
    Resource(_GATEWAY, ("v1alpha2",), "tcproutes", "TCPRoute"),
    Resource(_GATEWAY, ("v1alpha2",), "udproutes", "UDPRoute"),
    Resource("route.openshift.io", ("v1",), "routes", "Route"),
    Resource("cilium.io", ("v2",), "ciliumnetworkpolicies", "CiliumNetworkPolicy"),
    Resource(
        "cilium.io",
        ("v2",),
        "ciliumclusterwidenetworkpolicies",
        "CiliumClusterwideNetworkPolicy",
        namespaced=False,
    ),
    Resource("crd.projectcalico.org", ("v1",), "networkpolicies", "NetworkPolicy"),
    Resource(
        "crd.projectcalico.org",
        ("v1",),
        "globalnetworkpolicies",
        "GlobalNetworkPolicy",
        namespaced=False,
    ),
    Resource(
        "security.istio.io", ("v1", "v1beta1"), "authorizationpolicies", "AuthorizationPolicy"
    ),
)
"""What the analysis asks for besides: what makes and publishes pods, and policies that are told and
not judged."""
