"""The process that runs libnftables, so that its death is not netpolc's: `python -I -S worker.py
SOCKET PLACE [NAMESPACE]`.

Comes in, over a Unix stream socket: requests (`REQUEST`, then the text), each with descriptors of
locks that stay held until it is done. Goes out, for each: `BEGUN` before libnftables is given
anything, and an answer (`ANSWER`, then output and error). The first answer, unasked, says whether
libnftables could be loaded. `session.py` is the other end.

It knows nothing of netpolc, imports no more than it needs, and is the only one that imports
`nftables`, from the folder PLACE. It ends at once when the other end is gone, whatever it does: a
transaction is then committed whole or not at all, and its locks are let go after that.
"""

from __future__ import annotations

import _socket  # `socket` and `threading` take as long to import as everything else together
import _thread
import ctypes
import importlib
import os
import select
import struct
import sys

REQUEST = struct.Struct("=BQ")
"""Switches (`SWITCHES`, the first is bit 0), and how many bytes of text follow."""
ANSWER = struct.Struct("=iQQ")
"""libnftables' result (0: done), and how many bytes of output and of error follow."""
BEGUN = b"\1"
"""From here on the command may have had its effect."""
SWITCHES = ("json_output", "stateless_output", "numeric_prio_output", "dry_run")
LOCKS = 8
"""Most descriptors that come with a request."""
_CLONE_NEWNET = 0x40000000
_INT = struct.calcsize("i")


def receive(stream: _socket.socket, size: int) -> bytes:
    """So many bytes; fewer when the other end is gone."""
    parts = []
    while size > 0 and (part := stream.recv(min(size, 1 << 20))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _request(stream: _socket.socket) -> tuple[int, str, list[int]] | None:
    """Switches, text and descriptors of locks; None when the other end is gone."""
    room = _socket.CMSG_SPACE(LOCKS * _INT)
    head, sent, _, _ = stream.recvmsg(REQUEST.size, room)
    locks = [own for _, _, data in sent for own in memoryview(data).cast("i")]
    head += receive(stream, REQUEST.size - len(head))
    if len(head) < REQUEST.size:
        return None
    switches, size = REQUEST.unpack(head)
    text = receive(stream, size)
    return (switches, text.decode(), locks) if len(text) == size else None


def _answer(stream: _socket.socket, code: int, output: str, error: str) -> None:
    said, refused = output.encode(), error.encode()
    stream.sendall(ANSWER.pack(code, len(said), len(refused)) + said + refused)


def _end_with(stream: _socket.socket) -> None:
    """End this process as soon as the other end is closed, also in the middle of a command."""
    poll = select.poll()
    poll.register(stream, select.POLLRDHUP)
    poll.poll()
    os._exit(0)


def _enter(namespace: int) -> None:
    """Change to a network namespace (`os.setns` is there from Python 3.12 on)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"entering the network namespace: {os.strerror(error)}")


def main(descriptor: str, place: str, namespace: str = "") -> None:
    """Answer until the other end is gone."""
    stream = _socket.socket(fileno=int(descriptor))
    _thread.start_new_thread(_end_with, (stream,))
    try:
        if namespace:
            _enter(int(namespace))
        sys.path.append(place)
        nft = importlib.import_module("nftables").Nftables()
    except OSError as error:
        _answer(stream, 1, "", str(error))
        return
    _answer(stream, 0, "", "")
    while (request := _request(stream)) is not None:
        switches, text, locks = request
        for bit, name in enumerate(SWITCHES):
            getattr(nft, f"set_{name}")(bool(switches >> bit & 1))
        stream.sendall(BEGUN)
        code, output, refusal = nft.cmd(text)
        for lock in locks:
            os.close(lock)
        _answer(stream, code, output, refusal)


if __name__ == "__main__":
    main(*sys.argv[1:])
