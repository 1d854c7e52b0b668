"""kubectl understands the fake API server: it reads, writes and watches there.

Debian has it in `kubernetes-client`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.apiserver.conftest import named
from tests.helpers.apiserver import ApiServer

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="needs kubectl (kubernetes-client)")
Kubectl = Callable[..., str]


def command(server: ApiServer, home: Path, *arguments: str) -> list[str]:
    return [str(KUBECTL), f"--kubeconfig={server.kubeconfig()}", f"--cache-dir={home}", *arguments]


@pytest.fixture
def kubectl(server: ApiServer, tmp_path: Path) -> Kubectl:
    def run(*arguments: str, given: object = None) -> str:
        done = subprocess.run(
            command(server, tmp_path, *arguments),
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "HOME": str(tmp_path)},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    server.apply(named("Namespace", "shop"))
    return run


def policy(name: str, **spec: object) -> dict[str, object]:
    return named("NetworkPolicy", name, "shop", spec={"podSelector": {}, **spec})


def test_kubectl_reads(kubectl: Kubectl, server: ApiServer) -> None:
    server.apply(named("Pod", "web-0", "shop", spec={}, metadata={"labels": {"app": "web"}}))
    server.apply(named("Pod", "db-0", "shop", spec={}))
    assert kubectl("get", "pods", "-A", "-l", "app=web", "-o", "name").split() == ["pod/web-0"]
    found = json.loads(kubectl("get", "po", "web-0", "-n", "shop", "-o", "json"))
    assert found["metadata"]["labels"] == {"app": "web"}
    assert "1.36" in kubectl("version")


def test_kubectl_writes(kubectl: Kubectl, server: ApiServer) -> None:
    kubectl("apply", "-f", "-", given=policy("web"))
    kubectl("apply", "-f", "-", given=policy("web", ingress=[{}]))
    kubectl("create", "-f", "-", given=policy("db"))
    kubectl("label", "namespace", "shop", "team=a")
    served = server.store.resource("networking.k8s.io/v1", "NetworkPolicy")
    stored = server.store.get(served, "shop", "web")
    assert stored is not None
    assert stored.document["spec"] == {"podSelector": {}, "ingress": [{}]}
    kubectl("delete", "networkpolicy", "web", "-n", "shop")
    left = [key for key, _ in server.store.at(served, server.store.version)]
    assert left == [("shop", "db")]
    space = server.store.get(server.store.resource("v1", "Namespace"), "", "shop")
    assert space is not None
    assert space.document["metadata"]["labels"]["team"] == "a"


def test_kubectl_watches(kubectl: Kubectl, server: ApiServer, tmp_path: Path) -> None:
    kubectl("create", "-f", "-", given=policy("web"))
    watch = command(server, tmp_path, "get", "netpol", "-n", "shop", "-w", "-o", "name")
    with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "networkpolicy.networking.k8s.io/web\n"
            server.apply(policy("db"))
            assert running.stdout.readline() == "networkpolicy.networking.k8s.io/db\n"
        finally:
            running.kill()
