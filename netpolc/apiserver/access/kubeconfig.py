"""kubeconfig files -> how a cluster is reached, and who asks.

Comes in: files as kubectl reads them: that of `--kubeconfig`, those of $KUBECONFIG, or
~/.kube/config; of several the first that names something counts. Goes out: an `Access`. Refused,
with the file and the field: what cannot be read, contexts that are not there, and what netpolc does
not do: proxies, passwords, auth providers. Source: client-go `tools/clientcmd`, v1 of Config.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import yaml

from netpolc.apiserver.access.credentials import (
    EXEC_API,
    Credentials,
    KeyPair,
    Plugin,
    Several,
    Token,
    TokenFile,
)
from netpolc.apiserver.access.server import Access
from netpolc.core.errors import UsageError

DEFAULT = os.path.join("~", ".kube", "config")
_Entry = tuple[Mapping[str, Any], str]
"""What stands under a name, and the file that it stands in."""
_NOT_DONE = {
    "proxy-url": "proxies are not supported: reach the server directly, or pipe "
    "`kubectl get -A -o json` into netpolc",
    "username": "passwords are not supported (API servers take none since Kubernetes 1.19)",
    "auth-provider": "auth providers are gone since Kubernetes 1.26: use an exec plugin",
}


def contexts(path: str | None = None, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The names of all contexts; `UsageError` for files that cannot be read."""
    return sorted(_Config(path, environment).named["contexts"])


def from_kubeconfig(
    path: str | None = None,
    context: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Access:
    """The cluster of a context, or of the current one; `UsageError` for what cannot be used."""
    return _Config(path, environment).access(context)


class _Config:
    """The files of one kubeconfig, merged."""

    def __init__(self, path: str | None, environment: Mapping[str, str]) -> None:
        self.named: dict[str, dict[str, _Entry]] = {
            kind: {} for kind in ("clusters", "users", "contexts")
        }
        self._current = ""
        own = environment.get("KUBECONFIG", "")
        listed = [part for part in own.split(os.pathsep) if part]
        default = os.path.expanduser(DEFAULT)
        self._files = [path] if path else listed or [default]
        for file in self._files:
            if path or os.path.exists(file):
                self._add(file)

    def access(self, context: str | None) -> Access:
        name = context or self._current
        if not name:
            raise UsageError(f"{self._told()}: no current context: name one; {self._known()}")
        if name not in self.named["contexts"]:
            raise UsageError(f"{self._told()}: no context {name!r}; {self._known()}")
        body, file = self.named["contexts"][name]
        server, where = self._entry("clusters", body, "cluster", name)
        user: _Entry = ({}, file)
        if body.get("user"):
            user = self._entry("users", body, "user", name)
        _refuse(server, f"{where}: cluster {body.get('cluster')}")
        _refuse(user[0], f"{user[1]}: user {body.get('user')}")
        url = _text(server, "server", where)
        if not _is_https(url):
            raise UsageError(f"{where}: server {url!r} is no https:// URL")
        return Access(
            url,
            _credentials(*user, server),
            _data(server, "certificate-authority-data", where),
            _path(server, "certificate-authority", where),
            server.get("insecure-skip-tls-verify") is True,
            _text(server, "tls-server-name", where),
            _impersonation(*user),
            name,
            _text(body, "namespace", file) or "default",
        )

    def _add(self, file: str) -> None:
        try:
            with open(file, "rb") as stream:
                content = _first_document(stream.read())
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}; give a kubeconfig") from None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
            raise UsageError(f"{file}{place}: {error.problem}") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UsageError(f"{file}: {error}") from None
        if content is None:
            return
        if not isinstance(content, dict) or content.get("kind", "Config") != "Config":
            raise UsageError(f"{file}: no kubeconfig (kind: Config)")
        self._current = self._current or _text(content, "current-context", file)
        for kind, known in self.named.items():
            entries = content.get(kind) or []
            if not isinstance(entries, list):
                raise UsageError(f"{file}: {kind}: no list")
            for number, entry in enumerate(entries):
                body = (entry.get(kind[:-1]) or {}) if isinstance(entry, dict) else None
                if not isinstance(body, dict) or not isinstance(entry.get("name"), str):
                    raise UsageError(f"{file}: {kind}[{number}]: no name, or no {kind[:-1]}")
                known.setdefault(entry["name"], (body, file))

    def _entry(self, kind: str, body: Mapping[str, Any], field: str, context: str) -> _Entry:
        name = body.get(field)
        if not isinstance(name, str) or name not in self.named[kind]:
            raise UsageError(f"{self._told()}: context {context}: there is no {field} {name!r}")
        return self.named[kind][name]

    def _told(self) -> str:
        return os.pathsep.join(self._files)

    def _known(self) -> str:
        names = sorted(self.named["contexts"])
        return f"there are {', '.join(names)}" if names else "there are no contexts"


def _first_document(content: bytes) -> Any:
    """What kubectl reads of a file: JSON, however it is indented, or the first document of YAML."""
    try:
        return json.loads(content)
    except ValueError:
        return next(yaml.safe_load_all(content), None)


def _is_https(url: str) -> bool:
    """Whether it is a URL that can be connected to."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, or no such port
        return False


def _refuse(body: Mapping[str, Any], where: str) -> None:
    for field, reason in _NOT_DONE.items():
        if body.get(field):
            raise UsageError(f"{where}: {field}: {reason}")


def _credentials(user: Mapping[str, Any], file: str, cluster: Mapping[str, Any]) -> Credentials:
    """A token, a file of one or a plugin, and a certificate; as client-go prefers them."""
    bearer: Credentials = Credentials()
    if _text(user, "tokenFile", file):
        bearer = TokenFile(_path(user, "tokenFile", file))
    elif _text(user, "token", file):
        bearer = Token(_text(user, "token", file))
    elif user.get("exec"):
        return _plugin(user["exec"], file, cluster)
    pair = KeyPair(
        _data(user, "client-certificate-data", file),
        _data(user, "client-key-data", file),
        _path(user, "client-certificate", file),
        _path(user, "client-key", file),
    )
    if not (pair.certificate_pem or pair.certificate_file):
        return bearer
    if not (pair.key_pem or pair.key_file):
        raise UsageError(f"{file}: a client certificate without client-key")
    return Several(pair, bearer)


def _plugin(spec: Any, file: str, cluster: Mapping[str, Any]) -> Plugin:
    if not isinstance(spec, dict):
        raise UsageError(f"{file}: exec: no object")
    version = _text(spec, "apiVersion", file)
    if version not in (f"{EXEC_API}/v1", f"{EXEC_API}/v1beta1"):
        raise UsageError(f"{file}: exec.apiVersion {version!r} is not {EXEC_API}/v1 or v1beta1")
    command = _text(spec, "command", file)
    if not command:
        raise UsageError(f"{file}: exec.command is missing")
    if os.sep in command and not os.path.isabs(command):
        command = os.path.join(os.path.dirname(os.path.abspath(file)), command)
    arguments, variables = spec.get("args") or [], spec.get("env") or []
    try:
        environment = {str(own["name"]): str(own["value"]) for own in variables}
        words = [str(own) for own in arguments]
    except (KeyError, TypeError):
        raise UsageError(f"{file}: exec.args or exec.env: not of their form") from None
    told = None
    if spec.get("provideClusterInfo") is True:
        told = {
            name: cluster[name]
            for name in ("server", "certificate-authority-data", "tls-server-name")
            if name in cluster
        }
    return Plugin(
        shutil.which(command) or command,
        words,
        environment,
        version,
        _text(spec, "installHint", file).strip(),
        told,
    )


def _impersonation(user: Mapping[str, Any], file: str) -> dict[str, str]:
    name = _text(user, "as", file)
    groups = user.get("as-groups") or []
    more = user.get("as-user-extra") or user.get("as-uid")
    if not name and not groups and not more:
        return {}
    if not isinstance(groups, list) or len(groups) > 1 or more:
        raise UsageError(f"{file}: one group can be impersonated (as-groups), and nothing else")
    headers = {"Impersonate-User": name}
    return {**headers, "Impersonate-Group": str(groups[0])} if groups else headers


def _text(body: Mapping[str, Any], field: str, file: str) -> str:
    value = body.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or "\n" in value.strip():
        raise UsageError(f"{file}: {field}: no text of one line")
    return value


def _path(body: Mapping[str, Any], field: str, file: str) -> str:
    """A file named there; from the folder of the kubeconfig."""
    own = _text(body, field, file)
    return os.path.join(os.path.dirname(os.path.abspath(file)), own) if own else ""


def _data(body: Mapping[str, Any], field: str, file: str) -> bytes:
    """What is written in base64, in one line or in several."""
    own = body.get(field)
    if isinstance(own, str):
        own = own.replace("\n", "").replace("\r", "")
    own = _text({field: own}, field, file)
    try:
        return base64.b64decode(own, validate=True)
    except ValueError:  # binascii.Error is one
        raise UsageError(f"{file}: {field}: no base64") from None
