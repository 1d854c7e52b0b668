"""Services and what publishes them: as ends of flows, and where they are written badly.

In: a Deployment with a Service in several forms. Out: flows to the pods behind it; nothing of such
an object stops a command.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.invocation import invoke

SHOP = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers: [{name: c, image: x, ports: [{name: http, containerPort: 8080}]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: api, namespace: shop}
spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{ports: [{port: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec:
"""
PORTS = "  selector: {app: api}\n  ports: [{name: web, port: 80, targetPort: http}, {port: 81}]\n"


def asked(tmp_path: Path, service: str, *words: str) -> tuple[int, str]:
    path = tmp_path / "shop.yaml"
    path.write_text(SHOP + service)
    outcome = invoke("eval", str(path), "--src", "192.0.2.1", *words)
    return outcome.code, outcome.stdout.partition("\n")[0] or outcome.stderr.strip()


@pytest.mark.parametrize("end", [("svc/api", "-n", "shop"), ("shop/api[Service]",)])
@pytest.mark.parametrize(
    ("port", "code", "number"), [("80", 0, 8080), ("web", 0, 8080), ("81", 1, 81)]
)
def test_a_port_of_a_service_leads_to_that_of_the_pods(
    tmp_path: Path, end: tuple[str, ...], port: str, code: int, number: int
) -> None:
    found, line = asked(tmp_path, PORTS, "--dst", *end, "--port", port)
    verdict = "DENY" if code else "ALLOW"
    assert (found, line) == (code, f"{verdict} 192.0.2.1 -> shop/api[Deployment] TCP/{number}")


@pytest.mark.parametrize(
    ("service", "words", "said"),
    [
        (PORTS, ("--port", "8080"), "no port 8080: it has TCP/80 (web) to http, TCP/81 to 81"),
        (PORTS, (), "say which port"),
        (PORTS, ("--port", "80", "--protocol", "UDP"), "no port 80"),
        ("  ports: [{port: 80}]\n", ("--port", "80"), "has no selector: name the pods"),
        ("  selector: {app: none}\n", ("--port", "80"), "selects no pod: name the pods"),
        ("  {type: ExternalName, externalName: a.example}\n", (), "is a name of DNS"),
    ],
)
def test_ports_and_services_that_lead_nowhere(
    tmp_path: Path, service: str, words: tuple[str, ...], said: str
) -> None:
    code, line = asked(tmp_path, service, "--dst", "shop/api[Service]", *words)
    assert code == 2
    assert said in line


def test_the_only_port_need_not_be_said_and_headless_ports_stay(tmp_path: Path) -> None:
    one = "  selector: {app: api}\n  ports: [{port: 80, targetPort: http}]\n"
    code, line = asked(tmp_path, one, "--dst", "shop/api[Service]")
    assert (code, line) == (0, "ALLOW 192.0.2.1 -> shop/api[Deployment] TCP/8080")
    code, line = asked(tmp_path, f"{one}  clusterIP: None\n", "--dst", "shop/api[Service]")
    assert (code, line) == (1, "DENY 192.0.2.1 -> shop/api[Deployment] TCP/80")


def test_the_address_of_a_service_is_not_what_policies_see(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(f"{SHOP}{PORTS}  clusterIP: 10.96.0.17\n")
    words = ("eval", str(path), "--src", "shop/api", "--port", "80", "--dst")
    told = "note: 10.96.0.17 is the address of shop/api[Service]: where kube-proxy leads"
    assert told in invoke(*words, "10.96.0.17").stderr
    assert "note" not in invoke(*words, "10.96.0.18").stderr


def test_a_service_is_named_where_no_workload_has_the_name(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    start, end = "kind: Service\n", "metadata: {name: x}\nspec:\n"
    path.write_text(f"{SHOP.partition(start)[0]}{start}{end}{PORTS}")
    words = ("eval", str(path), "--src", "192.0.2.1", "--port", "80", "--dst")
    assert "did you mean default/x[Service]?" in invoke(*words, "default/x").stderr
    assert "did you mean default/x[Service]?" in invoke(*words, "svc/xx").stderr
    source = invoke("eval", str(path), "--src", "svc/x", "--dst", "192.0.2.1", "--port", "80")
    assert source.code == 2


@pytest.mark.parametrize(
    "odd",
    [
        "apiVersion: v1\nkind: Service\nmetadata: {name: odd}\nspec: {ports: 80}\n",
        "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\n",
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nspec: {rules: {}}\n",
        "apiVersion: v1\nkind: Service\nspec: {ports: [{port: [], targetPort: .inf}]}\n",
        "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\nspec: {cidrs: [x]}\n",
    ],
)
def test_odd_ones_stop_nothing(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(f"{SHOP}{PORTS}---\n{odd}")
    outcome = invoke("compile", str(path))
    assert outcome.code == 0
    assert "passed over" in outcome.stderr


@pytest.mark.parametrize("number", ["1e400", "-1e400", "0", "65536", "70000.5", "9" * 4000])
def test_numbers_that_are_no_ports_are_no_traceback(tmp_path: Path, number: str) -> None:
    path = tmp_path / "shop.json"
    container = f'{{"name": "c", "ports": [{{"containerPort": {number}}}]}}'
    port = f'{{"port": {number}, "targetPort": {number}}}'
    path.write_text(
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, '
        f'"spec": {{"containers": [{container}]}}}}\n'
        '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, '
        f'"spec": {{"ports": [{port}]}}}}\n'
        '{"apiVersion": "route.openshift.io/v1", "kind": "Route", "metadata": {"name": "a"}, '
        f'"spec": {{"to": {{"name": "a"}}, "port": {{"targetPort": {number}}}}}}}\n'
    )
    assert invoke("check", str(path), "--fail-on", "error").code in (0, 2)


def test_kinds_of_other_groups_with_these_names_are_no_concern(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(f"{SHOP}{PORTS}---\napiVersion: serving.knative.dev/v1\nkind: Route\n")
    assert invoke("check", str(path), "--fail-on", "error").code == 0


INGRESS = """---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: api, namespace: shop}
spec: {defaultBackend: {service: {name: api, port: {number: 80}}}}
"""


def listed(tmp_path: Path, text: str, *words: str) -> str:
    path = tmp_path / "shop.yaml"
    path.write_text(text)
    outcome = invoke("list", str(path), *words)
    assert outcome.code == 0
    return outcome.stdout


def test_list_names_services_and_the_ingress_controller(tmp_path: Path) -> None:
    text = SHOP + PORTS + INGRESS
    table = listed(tmp_path, text, "--workload", "svc/api", "--direction", "ingress", "--why")
    rows = [re.split(" {2,}", line) for line in table.splitlines()]
    assert rows[0] == ["source", "destination", "connection", "by Service", "because of"]
    led = "api TCP/80 to 8080"
    assert [row[:4] for row in rows[1:]] == [
        ["shop/api[Deployment]", "shop/api[Deployment]", "TCP 8080", led],
        ["0.0.0.0/0; ::/0", "shop/api[Deployment]", "TCP 8080", led],
        ["{ingress}", "shop/api[Deployment]", "TCP 8080", led],
    ]
    assert rows[3][4] == "ingress TCP 8080 admitted by shop/api ingress[0]"
    head = listed(tmp_path, text, "-o", "csv").partition("\n")[0]
    assert head == "source,destination,families,connection"
    found = json.loads(listed(tmp_path, text, "-o", "json"))["connections"][-1]
    assert found["source"] == "{ingress}"
    assert found["services"] == [{"service": "shop/api", "port": "TCP/80", "targets": [8080]}]
    assert '"{ingress}" -> "shop/api[Deployment]"' in listed(tmp_path, text, "-o", "dot")


def test_what_is_closed_is_no_row_and_what_is_open_is(tmp_path: Path) -> None:
    closed = SHOP.replace("ports: [{port: 8080}]", "from: [{podSelector: {}}]")
    assert "{ingress}" not in listed(tmp_path, closed + PORTS + INGRESS)
    opened = SHOP.replace("{podSelector: {}, ", "{podSelector: {matchLabels: {app: no-other}}, ")
    assert "{ingress}" in listed(tmp_path, opened + PORTS + INGRESS)
    gone = INGRESS.replace("name: api, port", "name: gone, port")
    assert "{ingress}" not in listed(tmp_path, opened + PORTS + gone)


@pytest.mark.parametrize(
    ("old", "new", "lines", "kind"),
    [
        (
            "from: [{podSelector: {}}]",
            "from: [{namespaceSelector: {}}], ports: [{port: 8080}]",
            [
                "+ {ingress} -> shop/api[Deployment]: TCP 8080",
                "now allowed: {ingress} -> shop/api[Deployment] TCP/8080",
                "ingress admitted by shop/api ingress[0] (NEW:15:59)",
            ],
            "added",
        ),
        (
            "from: [{namespaceSelector: {}}]",
            "from: [{podSelector: {}}]",
            [
                "- {ingress} -> shop/api[Deployment]: TCP 8080",
                "now denied: {ingress} -> shop/api[Deployment] TCP/8080",
                "ingress was admitted by shop/api ingress[0] (OLD:15:59)",
            ],
            "removed",
        ),
    ],
)
def test_what_a_change_opens_and_closes_to_the_ingress_controller(
    tmp_path: Path, old: str, new: str, lines: list[str], kind: str
) -> None:
    paths = []
    for name, rule in (("OLD", old), ("NEW", new)):
        paths.append(str(tmp_path / name))
        text = SHOP.replace("ports: [{port: 8080}]", rule) + PORTS + INGRESS
        Path(paths[-1]).write_text(text)
    outcome = invoke("diff", *paths)
    assert outcome.code == 1
    told = [line.strip().replace(f"{tmp_path}/", "") for line in outcome.stdout.splitlines()]
    at = told.index(lines[0])
    assert told[at : at + 3] == lines
    changes = json.loads(invoke("diff", *paths, "-o", "json").stdout)["changes"]
    (found,) = (own for own in changes if own["source"] == "{ingress}")
    assert (found["change"], found["destination"]) == (kind, "shop/api[Deployment]")
    assert invoke("diff", paths[0], paths[0]).code == 0


def test_an_ingress_that_is_new_is_a_change(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("old.yaml", "new.yaml")]
    Path(paths[0]).write_text(SHOP + PORTS)
    Path(paths[1]).write_text(SHOP + PORTS + INGRESS)
    found = invoke("diff", *paths)
    assert found.code == 1
    assert "+ {ingress} -> shop/api[Deployment]: TCP 8080\n" in found.stdout
    assert "connections: 1 added, 0 removed, 0 changed" in found.stdout


def test_where_a_chart_makes_pods_nobody_knows_who_is_kept_out(tmp_path: Path) -> None:
    closed = SHOP.replace("ports: [{port: 8080}]", "from: [{podSelector: {}}]")
    text = f"{closed}{PORTS}{INGRESS}"
    maker = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\n"
    release = f"---\n{maker}metadata: {{name: edge, namespace: shop}}\n"
    for more, is_said in (("", True), (release, False), (release.replace("shop", "x"), True)):
        path = tmp_path / "shop.yaml"
        path.write_text(text + more)
        outcome = invoke("check", str(path), "--select", "NP901")
        assert ("NP901" in outcome.stdout) is is_said


def test_replicas_that_are_closed_are_one_finding(tmp_path: Path) -> None:
    closed = SHOP.replace("ports: [{port: 8080}]", "from: [{podSelector: {}}]").partition("---")[2]
    pod = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: api-N, namespace: shop, labels: {app: api}}\n"
    )
    ports = "spec: {containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}\n---\n"
    path = tmp_path / "shop.yaml"
    path.write_text("".join(pod.replace("N", f"{n}") + ports for n in range(4)) + closed + PORTS)
    (tmp_path / "ingress.yaml").write_text(INGRESS)
    found = invoke("check", str(tmp_path), "--select", "NP901").stdout.splitlines()
    assert found[-1] == "1 warning"
    assert "leads to shop/api-0[Pod], shop/api-1[Pod], shop/api-2[Pod] and 1 more on" in found[0]


def test_without_services_a_list_is_as_it_was(tmp_path: Path) -> None:
    start = SHOP.rpartition("---")[0]
    assert "by Service" not in listed(tmp_path, start)
