"""Kustomizations and charts through the programs themselves, where they are installed.

In: an overlay with a prefix and a patch, a chart with values. Out: what the program makes is what
is read, and places lead back to the files. `test_rendering.py` has the rest, with stand-ins.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.invocation import invoke
from tests.manifests.reading import written

SHOP = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - ports: [{port: 8081}]
"""
PATCH = """\
- op: add
  path: /spec/policyTypes
  value: [Ingress]
"""
OVERLAY = """\
namespace: prod
namePrefix: eu-
resources: [../../base]
patches:
- {path: patch.yaml, target: {kind: NetworkPolicy}}
"""
TEMPLATE = """\
{{- if .Values.policy }}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .Release.Name }}
spec:
  podSelector: {matchLabels: {app: {{ .Values.app | quote }}}}
{{- end }}
"""
TEST_POD = """\
apiVersion: v1
kind: Pod
metadata: {name: test, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: c, image: x}]}
"""


@pytest.mark.skipif(
    not (shutil.which("kustomize") or shutil.which("kubectl")),
    reason="neither kustomize nor kubectl is installed",
)
def test_an_overlay(tmp_path: Path) -> None:
    written(tmp_path, "base/kustomization.yaml", "resources: [shop.yaml]\n")
    shop = written(tmp_path, "base/shop.yaml", SHOP)
    written(tmp_path, "overlays/prod/kustomization.yaml", OVERLAY)
    written(tmp_path, "overlays/prod/patch.yaml", PATCH)
    outcome = invoke("check", str(tmp_path), "--select", "NP904", "--fail-on", "info")
    assert outcome.stdout.splitlines()[0] == (
        f"{shop}:16:20: info NP904: NetworkPolicy prod/eu-web: spec.ingress[0].ports[0].port: no "
        "container of prod/eu-web[Deployment] declares TCP/8081; TCP has 8080"
    )
    words = ("--src", "192.0.2.1", "--dst", "prod/eu-web", "--port", "8081")
    assert invoke("eval", str(tmp_path), *words).code == 0


@pytest.mark.skipif(not shutil.which("helm"), reason="helm is not installed")
def test_a_chart(tmp_path: Path) -> None:
    written(tmp_path, "shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n")
    written(tmp_path, "shop/values.yaml", "policy: false\napp: none\n")
    written(tmp_path, "shop/templates/np.yaml", TEMPLATE)
    written(tmp_path, "shop/templates/web.yaml", SHOP.partition("---")[0])
    written(tmp_path, "shop/templates/tests/pod.yaml", TEST_POD)
    chart = str(tmp_path / "shop")
    assert "test" not in invoke("list", chart).stdout.replace(str(tmp_path), "")
    words = (chart, "--set", "policy=true", "--release", "eu", "--default-namespace", "prod")
    outcome = invoke("check", *words, "--select", "NP101")
    place = f"{chart}/templates/np.yaml (helm):"
    assert outcome.stdout.startswith(place)
    assert "warning NP101: NetworkPolicy prod/eu: spec.podSelector" in outcome.stdout
