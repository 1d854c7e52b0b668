"""Who asks: tokens, files of tokens that change, commands that print credentials.

Every one gives the Authorization header of a request, and a certificate where it has one. `renew`
forgets what the server did not take (401).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from netpolc.apiserver.errors import Unreachable

EXEC_API = "client.authentication.k8s.io"
"""The group of ExecCredential (`kubectl` and client-go speak v1 and v1beta1)."""


class Credentials:
    """Nobody in particular; the others say who they are."""

    def token(self) -> str:
        """The bearer token of the next request; empty for none."""
        return ""

    def certificate(self) -> tuple[bytes, bytes] | None:
        """Certificate and key in PEM, if it says who it is by these."""
        return None

    def renew(self) -> None:
        """What was given last was not taken."""


@dataclass(frozen=True)
class Token(Credentials):
    """A token that stands in the kubeconfig."""

    text: str

    def token(self) -> str:
        """The one there is."""
        return self.text.strip()


@dataclass(frozen=True)
class TokenFile(Credentials):
    """A token in a file that others replace, as the kubelet does; read for each request."""

    path: str

    def token(self) -> str:
        """What the file has now; `Unreachable` if it cannot be read."""
        return _read(self.path).decode(errors="replace").strip()


@dataclass(frozen=True)
class KeyPair(Credentials):
    """A client certificate: PEM from the kubeconfig, or files that are read for each connection."""

    certificate_pem: bytes = b""
    key_pem: bytes = b""
    certificate_file: str = ""
    key_file: str = ""

    def certificate(self) -> tuple[bytes, bytes]:
        """As it is now; `Unreachable` if a file cannot be read."""
        own = self.certificate_pem or _read(self.certificate_file)
        return own, self.key_pem or _read(self.key_file)


@dataclass(frozen=True)
class Several(Credentials):
    """A certificate and a token."""

    pair: Credentials
    bearer: Credentials

    def token(self) -> str:
        """Of the bearer."""
        return self.bearer.token()

    def certificate(self) -> tuple[bytes, bytes] | None:
        """Of the pair."""
        return self.pair.certificate()

    def renew(self) -> None:
        """Both."""
        self.pair.renew()
        self.bearer.renew()


@dataclass
class Plugin(Credentials):
    """A command that prints an ExecCredential; asked again when that expires or is not taken.

    `cluster` is what the command is told of the server, if `provideClusterInfo` asks for it.
    """

    command: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    api_version: str = f"{EXEC_API}/v1"
    hint: str = ""
    cluster: Mapping[str, Any] | None = None
    seconds: float = 60.0
    _status: dict[str, Any] | None = None

    def token(self) -> str:
        """`status.token`; `Unreachable` if the command fails."""
        return str(self._current().get("token") or "").strip()

    def certificate(self) -> tuple[bytes, bytes] | None:
        """`status.clientCertificateData` and `clientKeyData`, of what gave the last token."""
        own = self._status or self._current()
        pair = own.get("clientCertificateData"), own.get("clientKeyData")
        return (str(pair[0]).encode(), str(pair[1]).encode()) if pair[0] and pair[1] else None

    def renew(self) -> None:
        """The next request runs the command again."""
        self._status = None

    def _current(self) -> dict[str, Any]:
        if self._status is None or _is_over(self._status.get("expirationTimestamp")):
            self._status = self._run()
        return self._status

    def _run(self) -> dict[str, Any]:
        spec: dict[str, Any] = {"interactive": False}
        if self.cluster is not None:
            spec["cluster"] = dict(self.cluster)
        info = {"apiVersion": self.api_version, "kind": "ExecCredential", "spec": spec}
        environment = {**os.environ, **self.environment, "KUBERNETES_EXEC_INFO": json.dumps(info)}
        told = f"the credential plugin {self.command!r}"
        try:
            done = subprocess.run(
                [self.command, *self.arguments],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=self.seconds,
                check=False,
            )
        except OSError as error:
            hint = f": {self.hint}" if self.hint else ""
            raise Unreachable(f"{told}: {error.strerror or error}{hint}") from None
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{told}: no answer in {self.seconds:g} seconds") from None
        if done.returncode != 0:
            raise Unreachable(f"{told} ended with {done.returncode}")
        return self._status_of(done.stdout, told)

    def _status_of(self, printed: bytes, told: str) -> dict[str, Any]:
        try:
            found = json.loads(printed)
        except ValueError as error:
            raise Unreachable(f"{told} printed no JSON: {error}") from None
        own = isinstance(found, dict) and found.get("kind") == "ExecCredential"
        if not own or found.get("apiVersion") != self.api_version:
            raise Unreachable(f"{told} printed no ExecCredential of {self.api_version}")
        status = found.get("status")
        if not isinstance(status, dict) or not (
            status.get("token") or status.get("clientCertificateData")
        ):
            raise Unreachable(f"{told} gave neither a token nor a certificate")
        return status


def _is_over(text: object) -> bool:
    """Whether the time of RFC 3339 has come; what cannot be read never ends by itself."""
    if not isinstance(text, str):
        return False
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        return False
    return (end if end.tzinfo else end.replace(tzinfo=UTC)) <= datetime.now(UTC)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise Unreachable(f"{path}: {error.strerror}") from None
