"""Where an API server is, whom it must prove to be, and who asks; the same inside a pod.

Comes in: a cluster and a user of a kubeconfig, or the files that the kubelet mounts. Goes out:
connections with TLS. Certificates are read again for each connection, so that they may rotate.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPSConnection
from urllib.parse import urlsplit

from netpolc.apiserver.access.credentials import Credentials, TokenFile
from netpolc.apiserver.errors import Unreachable
from netpolc.core.errors import UsageError

SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where the kubelet mounts a pod's token and the cluster's authority."""
CONNECT_SECONDS = 10.0
_KEEPALIVE = (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_UNACKNOWLEDGED = 30_000
"""Milliseconds until a peer that acknowledges nothing counts as gone (`TCP_USER_TIMEOUT`)."""


@dataclass(frozen=True)
class Access:
    """A server and how it is asked; `name` is what messages call it."""

    server: str
    credentials: Credentials
    authority_pem: bytes = b""
    authority_file: str = ""
    insecure: bool = False
    """No certificate is asked to be right (`insecure-skip-tls-verify`)."""
    server_name: str = ""
    """What its certificate must be of, if that is not the host of the URL."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of every request: who is impersonated."""
    name: str = "cluster"
    namespace: str = "default"

    def connect(self) -> HTTPSConnection:
        """A new connection; `Unreachable` if nobody listens or is who it should be."""
        try:
            parts = urlsplit(self.server)
            host, port = parts.hostname, parts.port or 443
        except ValueError as error:
            raise UsageError(f"{self.name}: server {self.server!r}: {error}") from None
        if not host:
            raise UsageError(f"{self.name}: {self.server!r} is no URL of a server")
        connection = HTTPSConnection(host, port, timeout=CONNECT_SECONDS)
        connection.auto_open = 0  # never without what is checked here
        try:
            plain = socket.create_connection((host, port), CONNECT_SECONDS)
            try:
                _keep_alive(plain)
                wanted = self.server_name or host
                connection.sock = self._context().wrap_socket(plain, server_hostname=wanted)
            except (OSError, ValueError):
                plain.close()
                raise
        except (OSError, ValueError) as error:
            raise Unreachable(f"{self.server}: {_words(error)}") from None
        return connection

    @property
    def root(self) -> str:
        """What stands before every path: servers behind a proxy have one."""
        return urlsplit(self.server).path.rstrip("/")

    def authorization(self) -> dict[str, str]:
        """Headers that say who asks; `Unreachable` for what no header can say."""
        token = self.credentials.token()
        found = {**self.headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        for name, value in found.items():
            if not value.isascii() or not value.isprintable():
                told = "the token" if name == "Authorization" else name
                raise Unreachable(f"{self.name}: {told} is no line of ASCII characters")
        return found

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self.authority_pem:
            # Between certificates a bundle may hold words in any language.
            context.load_verify_locations(cadata=self.authority_pem.decode("ascii", "ignore"))
        elif self.authority_file:
            context.load_verify_locations(self.authority_file)
        else:
            context.load_default_certs()
        pair = self.credentials.certificate()
        if pair is not None:
            _load(context, *pair)
        return context


def in_cluster(
    folder: str = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ
) -> Access:
    """What a pod has; `UsageError` outside of one."""
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    token = os.path.join(folder, "token")
    if not host or not os.path.exists(token):
        raise UsageError(
            f"not in a pod: KUBERNETES_SERVICE_HOST or {token} is missing; give a kubeconfig"
        )
    shown = f"[{host}]" if ":" in host else host
    authority = os.path.join(folder, "ca.crt")
    return Access(f"https://{shown}:{port}", TokenFile(token), authority_file=authority)


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Python takes certificates only from files: one in memory, so that no key gets to a disk."""
    descriptor = os.memfd_create("netpolc", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate.rstrip() + b"\n" + key.strip() + b"\n")
        # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password="")
    finally:
        os.close(descriptor)


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for name, value in _KEEPALIVE:
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate cannot be trusted: {error.verify_message}"
    return getattr(error, "strerror", None) or str(error)
