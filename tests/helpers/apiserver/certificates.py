"""Certificates made with OpenSSL's command: an authority, and what it vouches for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM."""

    certificate: Path
    key: Path


class Authority:
    """An authority that signs certificates of a server and of its clients."""

    def __init__(self, folder: Path, name: str = "cluster") -> None:
        self._folder, self._name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.own = Certificate(folder / f"{name}-ca.crt", folder / f"{name}-ca.key")
        request = ["req", "-x509", *_KEY, "-keyout", str(self.own.key), "-out"]
        _openssl(*request, str(self.own.certificate), "-days", "30", "-subj", f"/CN={name}-ca")

    def server(self, *addresses: str) -> Certificate:
        """For a server at these addresses and names."""
        names = [f"{'IP' if _is_address(own) else 'DNS'}:{own}" for own in addresses]
        return self._issue("server", "/CN=kube-apiserver", f"subjectAltName={','.join(names)}")

    def client(self, user: str, group: str = "system:masters") -> Certificate:
        """For a user, named by the common name; groups are its organizations."""
        return self._issue(user.replace(":", "-"), f"/O={group}/CN={user}", "")

    def _issue(self, name: str, subject: str, extension: str) -> Certificate:
        path = self._folder / f"{self._name}-{name}"
        made = Certificate(path.with_suffix(".crt"), path.with_suffix(".key"))
        request = path.with_suffix(".csr")
        _openssl("req", *_KEY, "-keyout", str(made.key), "-out", str(request), "-subj", subject)
        usage = "serverAuth" if name == "server" else "clientAuth"
        extensions = path.with_suffix(".ext")
        extensions.write_text(f"extendedKeyUsage={usage}\n{_KEYS}{extension}\n")
        own = ["-CA", str(self.own.certificate), "-CAkey", str(self.own.key), "-CAcreateserial"]
        files = ["-in", str(request), "-out", str(made.certificate), "-extfile", str(extensions)]
        _openssl("x509", "-req", *own, *files, "-days", "30")
        return made


_KEYS = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def _is_address(text: str) -> bool:
    return text.replace(".", "").isdigit() or ":" in text


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
