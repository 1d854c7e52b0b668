"""`make agent-demo`: a cluster in this machine's kernel, and an agent on each of its nodes.

In: nothing. Out: what happens, a line each: a fake API server, two nodes and their pods as network
namespaces, a policy that kubectl applies, packets before and after it, the table. Everything is
gone at the end. Needs root, nft, kubectl (`apt-get install kubernetes-client`).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.agent.nodes import Cluster, Pod, policy_text, small_cluster
from tests.helpers.lab import unavailable


def main() -> int:
    """Run it; 0 if all was as it should be."""
    reason = unavailable() or ("kubectl is missing" if shutil.which("kubectl") is None else None)
    if reason is not None:
        print(f"cannot run here: {reason}", file=sys.stderr)
        return 3
    with tempfile.TemporaryDirectory() as folder, small_cluster(Path(folder)) as cluster:
        return _shown(cluster)


def _shown(cluster: Cluster) -> int:
    server = cluster.pod("server", 0, app="server")
    client, stranger = cluster.pod("client", 1, app="client"), cluster.pod("other", 1, app="other")
    print("two nodes, three pods, an API server:")
    print(cluster.kubectl("get", "pods", "-o", "wide"))
    for own in cluster.nodes:
        own.start()
    cluster.until(lambda: all(own.ready() for own in cluster.nodes))
    print("an agent is ready on each node; no policy yet:")
    _print_ways(server, client, stranger)
    print("\n$ kubectl apply -f policy.json    (server admits pods of app=client)")
    begun = time.monotonic()
    print(
        cluster.kubectl("apply", "-f", "-", text=policy_text("server", "server", "client")), end=""
    )
    took = _until(lambda: not stranger.reaches(server), begun)
    _print_ways(server, client, stranger)
    right = client.reaches(server) and not stranger.reaches(server)
    print(
        f"\nthe first packet was dropped {took:.2f} s after kubectl began; the table of node-a:\n"
    )
    print(cluster.nodes[0].table())
    return 0 if right else 1


def _print_ways(server: Pod, *others: Pod) -> None:
    for own in others:
        print(f"  {own.name:<6} -> server  {'passes' if own.reaches(server) else 'is dropped'}")


def _until(holds: Callable[[], bool], begun: float) -> float:
    while not holds():
        if time.monotonic() - begun > 30:
            raise SystemExit("nothing was enforced within 30 s")
    return time.monotonic() - begun


if __name__ == "__main__":
    sys.exit(main())
