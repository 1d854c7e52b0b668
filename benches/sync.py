"""First sync of a cluster's pods over TLS: `python -m benches.sync`.

In: numbers of pods. Out: rows of CPU time of a client in a process of its own, pages and WatchList,
beside `json.loads` of the same list in the same process, one after the other; and the peak memory
of such a process beside the size of the list's JSON. The server is the fake of the tests, in this
process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from benches.memory import high_water_mark
from benches.timing import HEADER, Ratio, timed
from netpolc.apiserver import Listed, from_kubeconfig
from netpolc.apiserver.client import Client
from netpolc.apiserver.follow.watching import Watching
from netpolc.apiserver.listing import Lister
from netpolc.apiserver.resources import RESOURCES
from tests.helpers.apiserver import ApiServer

PODS = next(own for own in RESOURCES if own.kind == "Pod")
WATCH = {
    "watch": "1",
    "allowWatchBookmarks": "true",
    "sendInitialEvents": "true",
    "resourceVersionMatch": "NotOlderThan",
    "resourceVersion": "",
}
_FIELDS: dict[str, Any] = {
    f"f:{name}": {".": {}, "f:name": {}, "f:value": {}} for name in "abcdefghijkl"
}
_MANAGED = [
    {
        "manager": manager,
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": _FIELDS}, "f:spec": {"f:containers": _FIELDS}},
    }
    for manager in ("kube-controller-manager", "kubelet")
]
_CONDITIONS = [
    {
        "type": name,
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    for name in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
]
_ENVIRONMENT = [{"name": f"VARIABLE_{number}", "value": f"value {number}"} for number in range(8)]


def pod(number: int) -> dict[str, Any]:
    """About 3 kB of JSON, as API servers give it; parts that all have are shared."""
    labels = {"app": f"app-{number % 500}", "pod-template-hash": f"{number % 500:010x}"}
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    container = {
        "name": "main",
        "image": f"registry.example/app-{number % 500}:1.0",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "env": _ENVIRONMENT,
        "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "100m"}},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"app-{number % 500}-{number:010x}",
            "namespace": f"namespace-{number % 100}",
            "uid": f"00000000-0000-4000-8000-{number:012x}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": labels,
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"app-{number % 500}"}
            ],
            "managedFields": _MANAGED,
        },
        "spec": {
            "containers": [container],
            "nodeName": f"node-{number % 300}",
            "restartPolicy": "Always",
            "serviceAccountName": "default",
            "schedulerName": "default-scheduler",
        },
        "status": {
            "phase": "Running",
            "conditions": _CONDITIONS,
            "hostIP": "192.0.2.1",
            "podIP": address,
            "podIPs": [{"ip": address}],
        },
    }


def pages(kubeconfig: str) -> int:
    """How many pods lists in pages give."""
    client = Client(from_kubeconfig(kubeconfig))
    documents, _ = Lister(client, PODS).listed()
    client.close()
    return len(documents)


def watch_list(kubeconfig: str) -> int:
    """How many pods a WatchList gives."""
    client = Client(from_kubeconfig(kubeconfig))
    watching = Watching(client, Lister(client, PODS), "", 300.0, 10.0, lambda: None)
    listed = next(watching.initial(WATCH, 60.0))
    client.close()
    assert isinstance(listed, Listed)
    return len(listed.documents)


WAYS: dict[str, Callable[[str], int]] = {"pages": pages, "WatchList": watch_list}


def child(way: str, kubeconfig: str, rounds: int) -> None:
    """Print the measurements of this process: seconds of each round, and its peak memory in MiB."""
    found = []
    if rounds:
        client = Client(from_kubeconfig(kubeconfig))
        text = client.whole(PODS.path("v1"))
        client.close()
    for _ in range(rounds):
        first = timed(lambda: json.loads(text))[0]
        subject = timed(lambda: WAYS[way](kubeconfig))[0]
        found.append((subject, min(first, timed(lambda: json.loads(text))[0])))
    if not rounds:
        WAYS[way](kubeconfig)
    print(json.dumps({"rounds": found, "peak": high_water_mark() / 1024}))


def measured(way: str, kubeconfig: Path, rounds: int) -> Any:
    """What a child prints."""
    command = [sys.executable, "-m", "benches.sync", "--child", way, str(kubeconfig)]
    done = subprocess.run(
        [*command, "--rounds", str(rounds)], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout)


def rows(server: ApiServer, count: int, rounds: int) -> Iterator[str]:
    """A row a way."""
    kubeconfig = server.kubeconfig()
    for way in WAYS:
        found = measured(way, kubeconfig, rounds)["rounds"]
        pairs = tuple((own[0], own[1]) for own in found)
        name = f"first sync of {count:,} pods, {way}"
        yield Ratio(name, "`json.loads` of the list", pairs, "4").row()


def memory(server: ApiServer, count: int) -> Iterator[str]:
    """A line a way: peak memory of the process, and the list's JSON."""
    served = server.store.resource("v1", "Pod")
    every = server.store.at(served, server.store.version)
    size = sum(len(own.item) + 1 for _, own in every) / (1 << 20)
    for way in WAYS:
        peak = measured(way, server.kubeconfig(), 0)["peak"]
        yield f"| {count:,} pods, {way} | {peak:.0f} MiB | {size:.0f} MiB | {peak / size:.2f} |"


@click.command()
@click.option("--pods", default=10_000, show_default=True, help="Pods of the rows of time.")
@click.option("--large", default=100_000, show_default=True, help="Pods of the rows of memory.")
@click.option("--rounds", default=7, show_default=True, help="Rounds of every row.")
@click.option("--child", nargs=2, hidden=True)
def main(pods: int, large: int, rounds: int, child: tuple[str, str] | None) -> None:
    """Print the rows as Markdown tables."""
    if child is not None:
        globals()["child"](*child, rounds)
        return
    print(HEADER)
    with tempfile.TemporaryDirectory() as folder, ApiServer(Path(folder)) as server:
        server.store.apply_all(map(pod, range(pods)))
        for row in rows(server, pods, rounds):
            print(row, flush=True)
    if not large:
        return
    print("\n| | peak memory | JSON of the list | ratio |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, ApiServer(Path(folder)) as server:
        server.store.apply_all(map(pod, range(large)))
        for row in memory(server, large):
            print(row, flush=True)


if __name__ == "__main__":
    main()
