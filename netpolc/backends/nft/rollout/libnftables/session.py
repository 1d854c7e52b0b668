"""Talks to libnftables, which runs in a process of its own (`worker.py`): the only starter of it.

Comes in: commands as nft reads them. Goes out: what libnftables answered. When it dies, as it can
when it reads what another version put into the tables of others, `Died` says by what and what to
do; the next command starts another. A command that had not begun, because it died between two
commands, is given to another worker. One that had begun is never given twice: whether a transaction
was committed is for the caller to find out (`Generation.read`).

A program and no fork: a fork would share the memory of a snapshot page by page and write to it.
The binding `nftables` is part of the nftables project and comes with the distribution, not from
PyPI.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import finalize

from netpolc.core.errors import SystemRefusal

if TYPE_CHECKING:
    import subprocess

_INSTALL = (
    "the libnftables Python binding is missing: apt install python3-nftables (Debian, Ubuntu), "
    "dnf install python3-nftables (Fedora), apk add py3-nftables (Alpine)"
)
_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3*/site-packages")
_BINDING = "nftables"
_NAMESPACE = "/proc/thread-self/ns/net"
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class Died(SystemRefusal):
    """libnftables ended its process; `how` says by what."""

    def __init__(self, how: str, advice: str = "") -> None:
        super().__init__(f"libnftables {how}" + (f"\n{advice}" if advice else ""))
        self.how = how


@dataclass(frozen=True, slots=True)
class Reply:
    """What libnftables answered: `code` is 0 when it did what was asked."""

    code: int
    output: str
    error: str


def binding() -> str:
    """The folder the `nftables` module is in, of this interpreter or of the distribution (it is
    pure Python).
    """
    spec = importlib.util.find_spec(_BINDING)
    if spec is not None and spec.origin is not None:
        return str(Path(spec.origin).parent.parent)
    for pattern in _PLACES:
        for place in sorted(Path("/").glob(pattern.removeprefix("/"))):
            if (place / _BINDING / "__init__.py").is_file():
                return str(place)
    raise SystemRefusal(_INSTALL)


class _Worker:
    """One process, from its start to its end."""

    def __init__(self, place: str, home: int) -> None:
        import subprocess

        from netpolc.backends.nft.rollout.libnftables import worker  # few commands need libnftables

        self._protocol = worker
        own, other = socket.socketpair()
        self._said = os.memfd_create("stderr")
        here = os.stat(_NAMESPACE).st_ino == os.fstat(home).st_ino
        passed = [other.fileno()] if here else [other.fileno(), home]
        command = [sys.executable, "-I", "-S", worker.__file__, str(other.fileno()), place]
        command += [str(home)] if not here else []
        # Ctrl-C and a service manager reach every process there is, and this one ends with its
        # parent: it is born with those signals blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                pass_fds=passed,
                cwd="/",
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            other.close()
        self._stream, self._ready = own, False
        self.end = finalize(self, _end, self._process, own, self._said)

    def await_ready(self) -> None:
        """`SystemRefusal` when it cannot load libnftables; EOFError when it died."""
        if not self._ready:
            started = self.answer()
            if started.code != 0:
                raise SystemRefusal(f"{_INSTALL}; loading libnftables failed: {started.error}")
            self._ready = True

    def answer(self) -> Reply:
        """The next; EOFError or OSError when it died."""
        head = self._protocol.receive(self._stream, self._protocol.ANSWER.size)
        if len(head) < self._protocol.ANSWER.size:
            raise EOFError
        code, output, error = self._protocol.ANSWER.unpack(head)
        text = self._protocol.receive(self._stream, output + error)
        if len(text) < output + error:
            raise EOFError
        return Reply(code, text[:output].decode(), text[output:].decode())

    def begins(self, text: str, switches: int, locks: Collection[int]) -> bool:
        """Send a request; False when it died before libnftables was given anything."""
        body = text.encode()
        head = self._protocol.REQUEST.pack(switches, len(body))
        try:
            sent = socket.send_fds(self._stream, [head], list(locks))
            self._stream.sendall(head[sent:])
            self._stream.sendall(body)
            return (
                self._protocol.receive(self._stream, len(self._protocol.BEGUN))
                == self._protocol.BEGUN
            )
        except OSError:
            return False

    def how(self) -> str:
        """How it ended, in words; it is waited for."""
        self._stream.close()
        code = self._process.wait()
        size = os.fstat(self._said).st_size
        words = os.pread(self._said, 1000, max(0, size - 1000)).decode(errors="replace")
        last = words.strip().rpartition("\n")[2]
        if code < 0:
            number = signal.Signals(-code)
            return f"was ended by {number.name} ({signal.strsignal(number)})"
        return f"ended its process (exit code {code}){': ' + last if last else ''}"


def _end(process: subprocess.Popen[bytes], stream: socket.socket, said: int) -> None:
    stream.close()
    process.kill()
    process.wait()
    os.close(said)


class Session:
    """libnftables in the network namespace this object was made in.

    Its process begins with the first command, which raises `SystemRefusal` when the binding or the
    library is missing.
    """

    def __init__(self) -> None:
        self._home = os.open(_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
        finalize(self, os.close, self._home)
        self._worker: _Worker | None = None

    def ask(
        self,
        text: str,
        locks: Collection[int] = (),
        *,
        json: bool = False,
        stateless: bool = False,
        numeric: bool = False,
        dry: bool = False,
    ) -> Reply:
        """Run commands, and wait for them.

        `numeric` priorities; a `dry` run commits nothing. The locks stay held until the commands
        are over, whatever becomes of this process. Raises `Died`.
        """
        switches = sum(on << bit for bit, on in enumerate((json, stateless, numeric, dry)))
        own, self._worker = self._worker or _Worker(binding(), self._home), None
        try:
            own.await_ready()
            if not own.begins(text, switches, locks):  # died when it had nothing to do
                own.end()
                own = _Worker(binding(), self._home)
                own.await_ready()
                if not own.begins(text, switches, locks):
                    raise EOFError
            answer = own.answer()
            self._worker = own
        except (EOFError, OSError) as error:
            raise Died(own.how()) from error
        finally:
            if self._worker is None:  # dead, or interrupted with half an answer read
                own.end()
        return answer
