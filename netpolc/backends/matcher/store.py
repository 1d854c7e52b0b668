"""The file of a matcher: tables as they lie in memory, so that opening is mapping.

    offset  bytes
    0       8       magic "netpolc\\0"
    8       4       version
    12      4       byte order: 0x01020304 as the writer stores it
    16      8       bytes of the header, from 0 to the end of its JSON
    24      8       bytes of the file
    32      32      SHA-256 of the JSON
    64              JSON: numbers, place and size of every buffer, SHA-256 of all of them
    ...             the buffers, each at a multiple of 64

In: a path. Out: numbers and buffers. Refused (`FileError`): another format, version or byte order,
a file that is longer or shorter than it says, contents that do not have their checksums, tables
that lead outside of themselves (`bounds`). The checksums find damage; who can write the file can
also write checksums: it may say what it likes of flows, and makes nobody read other memory.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import sys
from collections.abc import Mapping
from typing import Any

from netpolc.backends.matcher import bounds
from netpolc.backends.matcher._core import BUFFER_NAMES
from netpolc.core.errors import UsageError
from netpolc.core.nets import parse_address
from netpolc.files import replacing

MAGIC = b"netpolc\0"
VERSION = 1
BYTE_ORDER = sys.byteorder
_ORDER = 0x01020304
_HEAD = struct.Struct("=8sIIQQ32s")
_ALIGNMENT = 64
_NAMES = {*BUFFER_NAMES, "pod_addresses", "pod_names"}
_NUMBERS = {"class_bits", "classes4", "classes6", "words", "root6", "host_mask6"}


class FileError(UsageError, ValueError):
    """Not a matcher's file, or not this one any more."""


def save(
    path: str | os.PathLike[str], numbers: Mapping[str, int], buffers: Mapping[str, Any]
) -> None:
    """Write beside the target, then rename: a reader never maps half a file."""
    body = hashlib.sha256()
    places: dict[str, list[int]] = {}
    chunks: list[Any] = []
    end = 0
    for name, buffer in sorted(buffers.items()):
        view = memoryview(buffer).cast("B")
        places[name] = [end, view.nbytes]
        chunks += [view, bytes(_aligned(view.nbytes) - view.nbytes)]
        end += _aligned(view.nbytes)
    for chunk in chunks:
        body.update(chunk)
    document = {"numbers": dict(numbers), "buffers": places, "sha256": body.hexdigest()}
    text = json.dumps(document, sort_keys=True).encode()
    start = _aligned(_HEAD.size + len(text))
    text = text.ljust(start - _HEAD.size)
    head = _HEAD.pack(MAGIC, VERSION, _ORDER, start, start + end, hashlib.sha256(text).digest())
    with replacing(path) as out:
        out.writelines([head, text, *chunks])


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def map_file(path: str | os.PathLike[str], verify: bool) -> tuple[dict[str, int], dict[str, Any]]:
    """Map a file; `verify` reads all of it, and follows no number that leads outside."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < _HEAD.size:
            raise FileError(f"{path}: too short for a matcher")
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    start, document = _header(path, view)
    numbers, places = document.get("numbers"), document.get("buffers")
    if not (isinstance(numbers, dict) and isinstance(places, dict)):
        raise FileError(f"{path}: the header lists no tables")
    if set(numbers) != _NUMBERS or set(places) != _NAMES:
        raise FileError(f"{path}: the header lists other tables")
    body = view[start:]
    if verify and hashlib.sha256(body).hexdigest() != document.get("sha256"):
        raise FileError(f"{path}: the tables are not what was written")
    buffers = {name: _piece(path, body, name, place) for name, place in places.items()}
    if verify:
        try:
            bounds.check_bounds(numbers, buffers)
        except ValueError as error:
            raise FileError(f"{path}: {error}") from None
    return numbers, buffers


def _piece(path: str | os.PathLike[str], body: memoryview, name: str, place: object) -> memoryview:
    match place:
        case [int(first), int(size)] if (
            first >= 0 and size >= 0 and first % _ALIGNMENT == 0 and first + size <= len(body)
        ):
            return body[first : first + size]
        case _:
            raise FileError(f"{path}: {name} is not in the file")


def _header(path: str | os.PathLike[str], view: memoryview) -> tuple[int, dict[str, Any]]:
    magic, version, order, start, end, digest = _HEAD.unpack_from(view)
    if magic != MAGIC:
        raise FileError(f"{path}: not a matcher")
    if order != _ORDER:
        raise FileError(f"{path}: written on a machine of another byte order")
    if version != VERSION:
        raise FileError(f"{path}: version {version}, this netpolc reads {VERSION}")
    if end != len(view) or not _HEAD.size <= start <= end:
        raise FileError(f"{path}: {len(view)} bytes, not {end} as it says")
    text = bytes(view[_HEAD.size : start])
    if hashlib.sha256(text).digest() != digest:
        raise FileError(f"{path}: the header is not what was written")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: the header is no JSON: {error}") from None
    if not isinstance(document, dict) or start % _ALIGNMENT:
        raise FileError(f"{path}: the header lists no tables")
    return start, document


def pods_by_address(buffers: Mapping[str, Any]) -> dict[tuple[int, int], str]:
    """The pod behind each address, by (family, address)."""
    found = {}
    try:
        addresses = bytes(buffers["pod_addresses"]).decode().split()
        names = bytes(buffers["pod_names"]).decode().split()
        for text, name in zip(addresses, names, strict=True):
            line = parse_address(text)
            found[6 if line >> 128 else 4, line & (1 << 128) - 1] = name
    except ValueError as error:
        raise FileError(f"the names of pods in the file of a matcher: {error}") from None
    return found
