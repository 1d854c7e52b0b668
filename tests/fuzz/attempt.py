"""One input in one reader: it ends in time and in little memory, in a result or a refusal.

Out: `attempt` returns, or raises the fault; `name_of` gives a fault a name by the kind of exception
and the innermost line of netpolc that it came through, by which faults are told apart.
"""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

import netpolc
from tests.fuzz import readers

CPU = 20
"""Seconds of the processor in which every input is done with, most of them in a hundredth."""
ADDRESSES = 4 << 30
"""Bytes of address space for the whole process."""
GROWTH = 256 << 20
"""Bytes of memory by which one input, of some ten thousand bytes, may make the process grow."""
SHRINKING = 30
"""Seconds to make an input smaller in."""
_HOME = str(Path(netpolc.__file__).parent)
"""Where lines of netpolc are."""


class TooLong(Exception):
    """A reader that does not come to an end."""


class TooLarge(Exception):
    """A reader that takes memory out of proportion."""


def limit() -> None:
    """Set the limits of this process; before the first `attempt`."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    signal.signal(signal.SIGPROF, _stop)


def _stop(*_: object) -> None:
    raise TooLong(f"no end after {CPU} seconds of the processor")


def attempt(reader: str, data: bytes, folder: Path) -> None:
    """Give one input to a reader; the file `input.READER` in the folder holds it meanwhile."""
    path = folder / f"input.{reader}"
    path.write_bytes(data)
    before = _most()
    signal.setitimer(signal.ITIMER_PROF, CPU)
    try:
        readers.READERS[reader](data, folder / f"a.{reader}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if _most() - before > GROWTH:
        raise TooLarge(f"{(_most() - before) >> 20} MiB for {len(data)} bytes")


def _most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def smaller(data: bytes, fails: Callable[[bytes], bool]) -> bytes:
    """The bytes without pieces that the fault does not need, found within `SHRINKING` seconds."""
    until = time.monotonic() + SHRINKING
    size = len(data) // 2
    while size and time.monotonic() < until:
        at = 0
        while at < len(data) and time.monotonic() < until:
            shorter = data[:at] + data[at + size :]
            if fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def name_of(fault: BaseException) -> str:
    """`KeyError-parse_text-120`; what stopped somewhere on its way has no line."""
    kind = type(fault).__name__
    if isinstance(fault, TooLong | TooLarge | MemoryError):
        return kind
    own = (_HOME, readers.__file__) if isinstance(fault, AssertionError) else (_HOME,)
    place, trace = "", fault.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(own):
            place = f"-{Path(file).stem}-{trace.tb_lineno}"
        trace = trace.tb_next
    return kind + place
