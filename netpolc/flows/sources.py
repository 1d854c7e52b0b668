"""Where flow logs are: files, folders, patterns, standard input, packed with gzip or zstd.

Comes in: what was named. Goes out: a `LogSource` a log, in order. Refused (`LogError`): what is
not there or cannot be read. Packed logs are told by their first bytes, and all members and frames
are read.
"""

from __future__ import annotations

import glob
import io
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from netpolc.flows.notes import LogError

BLOCK = 1 << 18
"""Bytes read at once."""
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_GZIP = 16 + zlib.MAX_WBITS
"""What zlib takes for "with the header of gzip"."""
_SKIPPED = (".", "_")
"""Names in folders that engines write beside their data begin so (`_SUCCESS`, `.crc`)."""


class Stream(Protocol):
    """What is read of a log: a file, or what comes out of a pipe or a packed file."""

    def read(self, size: int = ..., /) -> bytes:
        """The next bytes; none at its end, `OSError` when it ends early."""

    def seekable(self) -> bool:
        """Whether any place of it can be read."""

    def seek(self, offset: int, /) -> Any:
        """Go to a place."""


class LogSource:
    """A log: its `name`, its `size` in bytes (0 where nobody knows), what its folders are called.

    `partition` is of folders in the form of Hive, `verdict=dropped/`: column and value.
    """

    def __init__(self, path: str, partition: dict[str, str]) -> None:
        self.path, self.partition = path, partition
        self.name = "standard input" if path == "-" else path
        self.size = 0 if path == "-" else _size(path)
        self.done = 0
        """Bytes read so far, of the packed form if it is packed."""

    @contextmanager
    def opened(self) -> Iterator[Stream]:
        """What it holds, unpacked; seekable for a file that is not packed. `OSError` when it ends
        early.
        """
        with ExitStack() as stack:
            raw: Any = sys.stdin.buffer
            try:
                if self.path != "-":
                    raw = stack.enter_context(Path(self.path).open("rb"))
            except OSError as error:
                raise LogError(f"cannot read {self.path}: {error.strerror}") from None
            counted = _Counted(self, raw)
            begin = counted.peek(4)
            packed = [name for magic, name in _PACKED.items() if begin.startswith(magic)]
            if packed:
                yield _Peekable(_unpacked(counted, packed[0], self.name))
            elif raw.seekable():
                raw.seek(0)
                yield _CountedFile(self, raw)
            else:
                yield counted


def _unpacked(packed: Stream, how: str, name: str) -> Stream:
    if how == "gzip":
        return _Gzip(packed)
    try:
        import pyarrow as pa
    except ImportError:
        raise LogError(
            f"{name}: {how} is unpacked by pyarrow: pip install netpolc[audit]"
        ) from None
    found: Stream = pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), how)
    return found


class _Gzip(io.RawIOBase):
    """All members of a gzip file, one behind the other. Where it is cut, all is read before the cut
    is told, which Arrow's streams and those of Python do not do.
    """

    def __init__(self, packed: Stream) -> None:
        self._packed, self._ahead = packed, b""
        self._member = zlib.decompressobj(wbits=_GZIP)

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as there are at once."""
        while True:
            given = self._ahead or self._packed.read(BLOCK)
            if self._member.eof:
                if not given:
                    return b""
                self._member = zlib.decompressobj(wbits=_GZIP)
            try:
                found = self._member.decompress(given, max(size, 0))
            except zlib.error as error:
                raise OSError(f"no gzip: {error}") from None
            self._ahead = self._member.unconsumed_tail or self._member.unused_data
            if found:
                return found
            if not given and not self._member.eof:
                raise OSError("Truncated compressed stream")


class _Peekable(io.RawIOBase):
    """A stream that can be looked into without moving on."""

    def __init__(self, raw: Stream) -> None:
        self._raw, self._ahead = raw, b""
        self._error: OSError | None = None

    def readable(self) -> bool:
        return True

    def peek(self, size: int) -> bytes:
        """Its next bytes, fewer at its end, and where it ends early: reading on tells that."""
        try:
            while len(self._ahead) < size and (more := self._next(size - len(self._ahead))):
                self._ahead += more
        except OSError as error:
            if not self._ahead:
                raise
            self._error = error
        return self._ahead[:size]

    def read(self, size: int = -1) -> bytes:
        """The next bytes, as many as there are at once."""
        if size < 0:
            return b"".join(iter(lambda: self.read(BLOCK), b""))
        if self._ahead:
            given, self._ahead = self._ahead[:size], self._ahead[size:]
            return given
        if self._error is not None:
            raise self._error
        return self._next(size)

    def _next(self, size: int) -> bytes:
        return self._raw.read(size)


class _Counted(_Peekable):
    """Counts what is read of a source."""

    def __init__(self, source: LogSource, raw: Stream) -> None:
        super().__init__(raw)
        self._source = source

    def _next(self, size: int) -> bytes:
        found = super()._next(size)
        self._source.done += len(found)
        return found


class _CountedFile(io.RawIOBase):
    """Counts what is read of a source any of whose places can be read."""

    def __init__(self, source: LogSource, raw: Any) -> None:
        self._source, self._raw = source, raw

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return int(self._raw.seek(offset, whence))

    def tell(self) -> int:
        return int(self._raw.tell())

    def read(self, size: int = -1) -> bytes:
        """The next bytes; what is read twice, as an index is, counts once for the whole."""
        found: bytes = self._raw.read(size)
        done = self._source.done + len(found)
        self._source.done = min(done, self._source.size) if self._source.size else done
        return found


class Tailed(io.RawIOBase):
    """Reads a stream as whole as it is asked for, and remembers the last bytes, so many of them."""

    def __init__(self, raw: Stream, size: int) -> None:
        self._raw, self._size, self.last = raw, size, b""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes, fewer only at the end: block by block, whatever size a log claims."""
        pieces = []
        while size and (piece := self._raw.read(BLOCK if size < 0 else min(size, BLOCK))):
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        found = b"".join(pieces)
        self.last = (self.last + found)[-self._size :]
        return found


def beginning(stream: Stream, size: int) -> bytes:
    """The first bytes of an opened source, which stay to be read."""
    if isinstance(stream, _Peekable):
        return stream.peek(size)
    found = stream.read(size)
    stream.seek(0)
    return found


def blocks(stream: Stream) -> Iterator[bytes]:
    """All there is to read."""
    return iter(lambda: stream.read(BLOCK), b"")


def sources_of(paths: Iterable[str]) -> list[LogSource]:
    """The logs that are named: files, `-`, folders with all below them, patterns."""
    found: list[LogSource] = []
    for path in paths:
        if path == "-":
            found.append(LogSource(path, {}))
        elif os.path.isdir(path):
            found += _below(path)
        elif os.path.exists(path):
            found.append(LogSource(path, _partition(Path(path))))
        else:
            matching = sorted(glob.glob(path, recursive=True))
            if not matching:
                raise LogError(f"cannot read {path}: there is no such file")
            found += [
                LogSource(own, _partition(Path(own))) for own in matching if os.path.isfile(own)
            ]
    return found


def _below(folder: str) -> list[LogSource]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(_SKIPPED))
        names = (name for name in sorted(files) if not name.startswith(_SKIPPED))
        paths = (Path(root, name) for name in names)
        found += [LogSource(str(path), _partition(path)) for path in paths]
    if not found:
        raise LogError(f"cannot read {folder}: the folder holds no log")
    return found


def _partition(path: Path) -> dict[str, str]:
    pairs = (part.partition("=") for part in path.parts[:-1])
    return {key: value for key, equals, value in pairs if key and equals}


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from None
