"""Elements in the words of `write/text.py`, as the kernel has them.

Comes in: a set or map that is compared by words, and words of one of its elements. Goes out: the
element. Only what has a hash is changed element by element, so only that is understood. Refused
(`UnsupportedError`): intervals, words that no such element has.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import keys, writing
from netpolc.backends.nft.netlink.entities import KernelElement
from netpolc.core.errors import UnsupportedError
from netpolc.core.nets import Protocol


def element_of(entry: writing.Members, words: str) -> KernelElement:
    """The element that is written so."""
    try:
        match entry:
            case model.AddressSet():
                return KernelElement(_address(words))
            case writing.NotedSet():
                address, _, said = words.partition(" ")
                return KernelElement(_address(address), comment=_quoted(said, "comment "))
            case model.AddressMap():
                address, _, verdict = words.partition(" : ")
                return KernelElement(_address(address), verdict=writing.decision(_verdict(verdict)))
            case model.PairSet():
                source, _, destination = words.partition(" . ")
                return KernelElement(_address(source) + _address(destination))
            case model.LinkSet():
                name = _quoted(words).encode("ascii")
                return KernelElement(name.ljust(keys.LINK.length, b"\0"))
            case model.PortMap(interval=False):
                key, _, verdict = words.partition(" : ")
                return KernelElement(_port(key), verdict=writing.decision(_verdict(verdict)))
    except (ValueError, OSError, KeyError) as error:
        raise UnsupportedError(f"no element of {entry.name}: {words}") from error
    raise UnsupportedError(f"{entry.name} is not changed element by element")


def _address(words: str) -> bytes:
    return inet_pton(AF_INET6 if ":" in words else AF_INET, words)


def _quoted(words: str, before: str = "") -> str:
    """What is in quotes; empty where nothing is said."""
    if words and not (words.startswith(f'{before}"') and words.endswith('"')):
        raise ValueError(words)
    return words[len(before) + 1 : -1]


def _verdict(words: str) -> model.Verdict:
    action, _, chain = words.partition(" ")
    return model.Verdict(model.Action(action), chain)


def _port(words: str) -> bytes:
    protocol, _, port = words.partition(" . ")
    number = Protocol[protocol.upper()]
    return bytes((number,)) + bytes(3) + int(port).to_bytes(2, "big") + bytes(2)
