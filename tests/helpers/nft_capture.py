"""What libnftables sends to the kernel: the messages of a transaction, as bytes.

In: text for nft. Out: type, flags and body of every message of the batch, read from what `nft
--debug=mnl` prints (`mnl_nlmsg_fprintf` of libmnl): lines of four bytes, and a line a header.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from tests.helpers.lab import Namespace

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_LENGTH = re.compile(r"\|  (\d{10})  \|\t\| message length \|")
_TYPE = re.compile(r"\| (\d{5}) \| .{4} \|\t\|  type \| flags  \|")
_ATTRIBUTE = re.compile(r"\|(\d{5})\|([N-])([B-])\|(\d{5})\|")
_BYTES = re.compile(r"\| ([0-9a-f]{2}) ([0-9a-f]{2}) ([0-9a-f]{2}) ([0-9a-f]{2})  \|")
_NFTABLES = 10


@dataclass(frozen=True)
class Sent:
    """One message: its type within nf_tables, and what follows nfgenmsg."""

    kind: int
    body: bytes


def messages(printed: str) -> list[Sent]:
    """What changes something; requests for listings have no attributes or come before the batch."""
    found: list[Sent] = []
    inside = False
    for block in re.split(r"-{16}\t-{18}\n(?=\|  \d{10})", _COLOURS.sub("", printed)):
        kind = _TYPE.search(block)
        if kind is None:
            continue
        subsystem, own = divmod(int(kind[1]), 256)
        if subsystem == 0:
            inside = own == 16  # NFNL_MSG_BATCH_BEGIN; 17 is its end
        elif subsystem == _NFTABLES and inside:
            found.append(Sent(own, _content(block)))
    return found


def _content(block: str) -> bytes:
    body = b""
    for line in block.splitlines():
        if (own := _ATTRIBUTE.match(line)) is not None:
            nested = 0x8000 if own[2] == "N" else 0
            ordered = 0x4000 if own[3] == "B" else 0
            body += struct.pack("=HH", int(own[1]), int(own[4]) | nested | ordered)
        elif (data := _BYTES.match(line)) is not None and "extra header" not in line:
            body += bytes.fromhex("".join(data.groups()))
    return body


def captured(namespace: Namespace, text: str) -> list[Sent]:
    """Load a transaction with nft, and see what it sends."""
    return messages(namespace.run("nft", "--debug=mnl", "-f", "-", text=text))
