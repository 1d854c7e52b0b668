"""Answers that come in pieces -> the items of a list, the events of a watch.

No answer is ever held whole: a list of 100,000 pods has hundreds of megabytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

from netpolc.apiserver.client import ListMeta
from netpolc.apiserver.errors import NO_JSON, Unreachable

T = TypeVar("T")
_ITEMS = b'"items":['
_END = b"]}"


class _Head(msgspec.Struct, gc=False):
    metadata: ListMeta = ListMeta()


class _Whole(msgspec.Struct, gc=False):
    metadata: ListMeta = ListMeta()
    items: list[msgspec.Raw] | None = None


_HEAD = msgspec.json.Decoder(_Head)
_WHOLE = msgspec.json.Decoder(_Whole)
_ANY = msgspec.json.Decoder(msgspec.Raw)
_SEVERAL = msgspec.json.Decoder(list[msgspec.Raw])


class ListStream:
    """The items of a list, one after another; `metadata` is known once the first one is.

    The server writes metadata before items, and every item begins with the same key: an item ends
    where the next one seems to begin, if what is before that is JSON as a whole. A list that is
    written otherwise is held whole.
    """

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.metadata = ListMeta()

    def __iter__(self) -> Iterator[bytes | msgspec.Raw]:
        buffer = bytearray()
        start = -1
        for piece in self._pieces:
            buffer += piece
            start = buffer.find(_ITEMS)
            if start >= 0 or len(buffer) > 1 << 16:
                break
        try:
            if start < 0:
                raise msgspec.DecodeError
            self.metadata = _HEAD.decode(bytes(buffer[: start + len(_ITEMS)]) + _END).metadata
            if not self.metadata.resourceVersion:
                raise msgspec.DecodeError
        except msgspec.MsgspecError:  # the head is not of that form
            yield from self._whole(buffer)
            return
        del buffer[: start + len(_ITEMS)]
        yield from self._items(buffer)

    def _whole(self, buffer: bytearray) -> Iterator[msgspec.Raw]:
        for piece in self._pieces:
            buffer += piece
        found = decoded_answer(_WHOLE, buffer)
        self.metadata = found.metadata
        yield from found.items or ()

    def _items(self, buffer: bytearray) -> Iterator[bytes]:
        """What is between `[` and `]}`; the buffer has the beginning of it."""
        between = b""
        for piece in self._pieces:
            if not between:
                buffer += piece
                between = _between(buffer)
                if not between:
                    continue
            else:
                buffer += piece
            yield from _complete(buffer, between)
        between = between or _between(buffer)
        if between:
            yield from _complete(buffer, between)
        rest = bytes(buffer).rstrip()
        if not rest.endswith(_END):
            raise Unreachable("a list that does not end as lists do")
        left = decoded_answer(_SEVERAL, b"[" + rest[:-1])  # one, unless they begin differently
        yield from map(bytes, left)


def _between(buffer: bytearray) -> bytes:
    """What stands between two items: the end of one, and the first key of the next."""
    end = buffer.find(b":", 0, 200)
    return b"}," + bytes(buffer[: end + 1]) if end > 0 and buffer[:1] == b"{" else b""


def _complete(buffer: bytearray, between: bytes) -> Iterator[bytes]:
    """The items that are there as a whole; they are taken out of the buffer."""
    begin, look = 0, 0
    while (found := buffer.find(between, look)) >= 0:
        item = bytes(buffer[begin : found + 1])
        try:
            _ANY.decode(item)
        except msgspec.DecodeError:  # the same key deeper in the object, or in a text
            look = found + 1
            continue
        yield item
        begin = look = found + 2
    del buffer[:begin]


def lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a watch."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


def decoded_answer(decoder: msgspec.json.Decoder[T], text: bytes | bytearray) -> T:
    """What a decoder makes of an answer; `Unreachable` for what is none of its form."""
    try:
        return decoder.decode(text)
    except NO_JSON as error:
        raise Unreachable(f"an answer that is no JSON: {error}") from None
