"""Who asks, and whom the server must prove to be: every form a kubeconfig has, and rotation."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from netpolc.apiserver import Access, contexts, from_kubeconfig, in_cluster
from netpolc.apiserver.client import Client
from netpolc.apiserver.errors import ApiRefusal, Unreachable
from netpolc.core.errors import UsageError
from tests.helpers.apiserver import ApiServer


def who(server: ApiServer, access: Access) -> str:
    """Whom the server takes the client for."""
    client = Client(access)
    try:
        assert json.loads(client.whole("/version"))["minor"] == "36"
    finally:
        client.close()
    return server.asked[-1].user


def encoded(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def plugin(folder: Path, status: dict[str, Any], version: str = "v1") -> dict[str, Any]:
    """A command that prints a status and counts how often it ran."""
    api = f"client.authentication.k8s.io/{version}"
    printed = json.dumps({"apiVersion": api, "kind": "ExecCredential", "status": status})
    script = f"open({str(folder / 'runs')!r}, 'a').write('x')\nprint({printed!r})\n"
    (folder / "plugin.py").write_text(script)
    return {"apiVersion": api, "command": sys.executable, "args": [str(folder / "plugin.py")]}


def test_tokens(server: ApiServer, tmp_path: Path) -> None:
    user = "system:serviceaccount:kube-system:netpolc"
    assert who(server, from_kubeconfig(str(server.kubeconfig()))) == user
    (tmp_path / "server" / "token").write_text("first-token\n")
    relative = server.kubeconfig("relative", tokenFile="token")
    assert who(server, from_kubeconfig(str(relative))) == user


def test_client_certificates(server: ApiServer) -> None:
    own = server.client("alice")
    files = {"client-certificate": str(own.certificate), "client-key": str(own.key)}
    assert who(server, from_kubeconfig(str(server.kubeconfig(**files)))) == "alice"
    data = {
        "client-certificate-data": encoded(own.certificate),
        "client-key-data": encoded(own.key),
    }
    assert who(server, from_kubeconfig(str(server.kubeconfig(**data)))) == "alice"


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_plugins(server: ApiServer, tmp_path: Path, version: str) -> None:
    spec = plugin(tmp_path, {"token": "first-token"}, version)
    access = from_kubeconfig(str(server.kubeconfig(exec=spec)))
    assert who(server, access).endswith(":netpolc")
    assert who(server, access).endswith(":netpolc")
    assert (tmp_path / "runs").read_text() == "x"


def test_plugins_are_asked_again(server: ApiServer, tmp_path: Path) -> None:
    over = {"token": "first-token", "expirationTimestamp": "2020-01-01T00:00:00Z"}
    access = from_kubeconfig(str(server.kubeconfig(exec=plugin(tmp_path, over))))
    who(server, access)
    who(server, access)
    assert (tmp_path / "runs").read_text() == "xx"
    access = from_kubeconfig(
        str(server.kubeconfig(exec=plugin(tmp_path, {"token": "first-token"})))
    )
    who(server, access)
    server.rotate_token("second")
    plugin(tmp_path, {"token": "second"})
    assert who(server, access).endswith(":netpolc")


def test_plugins_with_certificates(server: ApiServer, tmp_path: Path) -> None:
    own = server.client("bob")
    status = {
        "clientCertificateData": own.certificate.read_text(),
        "clientKeyData": own.key.read_text(),
    }
    access = from_kubeconfig(str(server.kubeconfig(exec=plugin(tmp_path, status))))
    assert who(server, access) == "bob"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("raise SystemExit(3)", "ended with 3"),
        ("print('token')", "printed no JSON"),
        ("print('{}')", "printed no ExecCredential"),
    ],
)
def test_plugins_that_fail(server: ApiServer, tmp_path: Path, script: str, told: str) -> None:
    spec = plugin(tmp_path, {})
    (tmp_path / "plugin.py").write_text(script)
    access = from_kubeconfig(str(server.kubeconfig(exec=spec)))
    with pytest.raises(Unreachable, match=told):
        who(server, access)


def test_a_plugin_that_is_not_there_says_how_to_get_it(server: ApiServer) -> None:
    api = "client.authentication.k8s.io/v1"
    spec = {"apiVersion": api, "command": "no-such-plugin", "installHint": "install it from here"}
    with pytest.raises(Unreachable, match=r"no-such-plugin.*install it from here"):
        who(server, from_kubeconfig(str(server.kubeconfig(exec=spec))))


def test_a_pod_reads_its_token_again(server: ApiServer, tmp_path: Path) -> None:
    host, port = server.url.removeprefix("https://").split(":")
    environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
    (tmp_path / "token").write_text("first-token")
    (tmp_path / "ca.crt").write_bytes(server.ca_file.read_bytes())
    access = in_cluster(str(tmp_path), environment)
    assert who(server, access).endswith(":netpolc")
    server.rotate_token("second")
    with pytest.raises(ApiRefusal, match="Unauthorized"):
        who(server, access)
    (tmp_path / "token").write_text("second")
    assert who(server, access).endswith(":netpolc")
    server.rotate_authority()
    with pytest.raises(Unreachable, match="certificate cannot be trusted"):
        who(server, access)
    (tmp_path / "ca.crt").write_bytes(server.ca_file.read_bytes())
    assert who(server, access).endswith(":netpolc")
    with pytest.raises(UsageError, match="not in a pod"):
        in_cluster(str(tmp_path), {})


def changed(path: Path, **cluster: Any) -> str:
    """The same kubeconfig, with other fields of the cluster; None takes one out."""
    content = json.loads(path.read_text())
    own = content["clusters"][0]["cluster"]
    own |= {name.replace("_", "-"): value for name, value in cluster.items()}
    content["clusters"][0]["cluster"] = {k: v for k, v in own.items() if v is not None}
    path.write_text(json.dumps(content))
    return str(path)


def test_servers_must_be_who_they_are(server: ApiServer) -> None:
    path = server.kubeconfig()
    with pytest.raises(Unreachable, match="certificate cannot be trusted"):
        who(server, from_kubeconfig(changed(path, certificate_authority_data=None)))
    other = {"certificate_authority": str(server.ca_file), "tls_server_name": "other.example"}
    with pytest.raises(Unreachable, match="certificate cannot be trusted"):
        who(server, from_kubeconfig(changed(path, **other)))
    right = from_kubeconfig(changed(path, tls_server_name="localhost"))
    assert who(server, right).endswith(":netpolc")
    insecure = {"certificate_authority": None, "insecure_skip_tls_verify": True}
    assert who(server, from_kubeconfig(changed(path, **insecure))).endswith(":netpolc")


def test_several_files_are_one_config(server: ApiServer, tmp_path: Path) -> None:
    one, two = server.kubeconfig("one", "dev"), server.kubeconfig("two", "prod")
    environment = {"KUBECONFIG": f"{one}:{tmp_path / 'none'}:{two}"}
    assert contexts(None, environment) == ["dev", "prod"]
    assert from_kubeconfig(None, None, environment).name == "dev"
    assert from_kubeconfig(None, "prod", environment).name == "prod"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("kind: Config\ncontexts: [", r"config:2:12: "),
        ("kind: Pod", "no kubeconfig"),
        ("kind: Config\ncontexts: {}", "no current context.*there are no contexts"),
        ("kind: Config\ncontexts: [{context: {}}]", r"contexts\[0\]: no name, or no context"),
        ("kind: Config\ncontexts: [{name: a, context: b}]", r"contexts\[0\]: no name, or no co"),
        ("kind: Config\ncontexts: [{name: a}]\ncurrent-context: a", "context a: .* cluster None"),
        ("kind: Config\ncurrent-context: b", "no context 'b'"),
        (
            "kind: Config\ncontexts: [{name: a, context: {cluster: c}}]\ncurrent-context: a",
            "context a: there is no cluster 'c'",
        ),
    ],
)
def test_what_is_no_kubeconfig(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    with pytest.raises(UsageError, match=told):
        from_kubeconfig(str(path))


def test_what_kubectl_reads_is_read(server: ApiServer, tmp_path: Path) -> None:
    """A user that says nothing, base64 in lines, JSON with tabs, a second document, a bundle."""
    made = json.loads(server.kubeconfig().read_text())
    made["users"] += [{"name": "nobody", "user": None}, {"name": "new"}]
    bundle = "# Autorité de Certification\n".encode() + server.ca_file.read_bytes()
    cluster = made["clusters"][0]["cluster"]
    cluster["certificate-authority-data"] = base64.encodebytes(bundle).decode()
    path = tmp_path / "config"
    path.write_text(json.dumps(made, indent="\t"))
    assert who(server, from_kubeconfig(str(path))).endswith(":netpolc")
    path.write_text(yaml.safe_dump(made) + "---\nkind: Config\n")
    assert who(server, from_kubeconfig(str(path))).endswith(":netpolc")


def test_an_encrypted_key_is_refused_and_asks_nobody(server: ApiServer, tmp_path: Path) -> None:
    """kubectl takes none either; OpenSSL would wait at the terminal for its password."""
    own = server.client("alice")
    locked = tmp_path / "locked.key"
    lock = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", str(own.key), "-out"]
    subprocess.run([*lock, str(locked)], capture_output=True, check=True)
    files = {"client-certificate": str(own.certificate), "client-key": str(locked)}
    access = from_kubeconfig(str(server.kubeconfig(**files)))
    with pytest.raises(Unreachable):
        who(server, access)


@pytest.mark.parametrize("field", [{"as-uid": "7"}, {"as-user-extra": {"a": ["b"]}}])
def test_who_else_is_impersonated_is_not_passed_over(server: ApiServer, field: Any) -> None:
    with pytest.raises(UsageError, match="nothing else"):
        from_kubeconfig(str(server.kubeconfig(**field)))


def test_what_is_not_supported_is_said(server: ApiServer) -> None:
    with pytest.raises(UsageError, match="no context 'prod'; there are fake"):
        from_kubeconfig(str(server.kubeconfig()), "prod")
    with pytest.raises(UsageError, match="proxies are not supported"):
        from_kubeconfig(changed(server.kubeconfig(), proxy_url="http://proxy:3128"))
    with pytest.raises(UsageError, match="is no https"):
        from_kubeconfig(changed(server.kubeconfig(), server="http://127.0.0.1:8001"))
    with pytest.raises(UsageError, match="passwords are not supported"):
        from_kubeconfig(str(server.kubeconfig(username="admin", password="x")))
    with pytest.raises(UsageError, match="No such file"):
        from_kubeconfig("/nonexistent/config")


def test_nobody_listens(server: ApiServer) -> None:
    access = from_kubeconfig(str(server.kubeconfig()))
    server.stop()
    with pytest.raises(Unreachable, match="Connection refused"):
        who(server, access)
