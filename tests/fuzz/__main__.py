"""`python -m tests.fuzz`: damaged input for each reader in turn, until the time is over.

Every fault found is told with its smallest input, which is written below build/fuzz, and with the
command that tries it again. Exit code 1 if there was any. Inputs that an earlier run left there are
tried first; those that are no fault any more are removed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import HypothesisWarning

from tests.fuzz.attempt import attempt, limit, name_of, smaller
from tests.fuzz.inputs import STRATEGIES
from tests.fuzz.readers import READERS
from tests.helpers.scenarios import ROOT

warnings.simplefilter("ignore", HypothesisWarning)  # it would print the inputs

FOUND = ROOT / "build" / "fuzz"
ROUND = 100
"""Inputs of one reader before it is the next one's turn."""
STUCK = 300
"""Seconds after which a process that does not even answer signals is ended."""
_SETTINGS = settings(
    max_examples=ROUND,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # what is found is made smaller byte by byte
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class _Over(KeyboardInterrupt):
    """The time is over; not an `Exception`, so that nobody takes it for a fault."""


def main() -> None:
    """Run until the time is over or Ctrl-C; exit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=float("inf"), help="else until stopped")
    parser.add_argument("--seed", type=int, default=_seed())
    parser.add_argument("--reader", choices=READERS, action="append", help="only these")
    parser.add_argument("--again", metavar="FILE", type=Path, help="one input, and no other")
    chosen = parser.parse_args()
    if chosen.again is not None:
        limit()
        with TemporaryDirectory() as folder:
            attempt(chosen.again.suffix[1:], chosen.again.read_bytes(), Path(folder))
        return
    readers = chosen.reader or list(READERS)
    print(f"seed {chosen.seed}: {', '.join(readers)}", flush=True)
    FOUND.mkdir(parents=True, exist_ok=True)
    _try_again()
    with suppress(KeyboardInterrupt), TemporaryDirectory() as folder:
        _supervise(time.monotonic() + chosen.seconds, chosen.seed, readers, Path(folder))
    found = sorted(FOUND.iterdir())
    print(f"faults: {len(found)}" if found else "nothing found")
    sys.exit(1 if found else 0)


def _seed() -> int:
    """Another one each time; in CI always the same, so that a commit is judged and not luck."""
    return 0 if "CI" in os.environ else random.SystemRandom().randrange(1 << 32)


def _try_again() -> None:
    for path in sorted(FOUND.iterdir()):
        command = [sys.executable, "-m", "tests.fuzz", "--again", str(path)]
        if subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0:
            path.unlink()
        else:
            _tell(path, "still a fault")


def _tell(path: Path, what: str) -> None:
    name = os.path.relpath(path, ROOT)
    print(f"{what}\n  again: {sys.executable} -m tests.fuzz --again {name}", flush=True)


def _supervise(until: float, number: int, readers: list[str], folder: Path) -> None:
    """Keep a process at work; one that dies or hangs is a fault of the input it was at."""
    forking = multiprocessing.get_context("fork")
    for turn in count():
        worker = forking.Process(target=_work, args=(until, number + turn, readers, folder))
        worker.start()
        try:
            while worker.is_alive():
                worker.join(1)
                if (input_ := _current(folder)) and time.time() - input_.stat().st_mtime > STUCK:
                    worker.kill()
        except KeyboardInterrupt:
            worker.join()
            raise
        if worker.exitcode == 0:
            return
        if (worker.exitcode or 0) > 0:
            sys.exit("the fuzzer itself failed, as told above")
        input_ = _current(folder)
        ended = signal.Signals(-(worker.exitcode or 0)).name
        assert input_ is not None, f"{ended} before the first input"
        path = _file(ended, input_.suffix[1:])
        if not path.exists():
            path.write_bytes(input_.read_bytes())
            _tell(path, f"the process ended by {ended}")


def _current(folder: Path) -> Path | None:
    """The newest input."""
    found = sorted(folder.glob("input.*"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else None


def _work(until: float, number: int, readers: list[str], folder: Path) -> None:
    """Rounds of all readers until the time is over; the exit code is 0 then."""
    limit()
    tried = dict.fromkeys(readers, 0)
    with suppress(KeyboardInterrupt):
        for turn in count():
            for reader in readers:
                _round(reader, number + turn, folder, until, tried)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("tried " + ", ".join(f"{own} {name}" for name, own in tried.items()), flush=True)


def _round(reader: str, number: int, folder: Path, until: float, tried: dict[str, int]) -> None:
    """Some inputs; of a fault that is new the smallest input found is kept and told."""
    failed: list[tuple[bytes, Exception]] = []

    def fault_of(data: bytes) -> Exception | None:
        if time.monotonic() > until:
            raise _Over
        try:
            attempt(reader, data, folder)
        except Exception as fault:
            return fault
        return None

    def test(data: bytes) -> None:
        fault = fault_of(data)
        tried[reader] += 1
        if fault is not None and not _file(name_of(fault), reader).exists():
            failed.append((data, fault))
            raise fault

    run: Callable[[], None] = seed(number)(_SETTINGS(given(STRATEGIES[reader])(test)))
    try:
        run()
    except Exception:
        if not failed:
            raise  # a fault of the fuzzer's own
    if failed:
        data, fault = failed[0]
        name = name_of(fault)
        path = _file(name, reader)
        path.write_bytes(data)
        _tell(path, "".join(traceback.format_exception(fault)))

        def fails(shorter: bytes) -> bool:
            found = fault_of(shorter)
            return found is not None and name_of(found) == name

        path.write_bytes(smaller(data, fails))


def _file(name: str, reader: str) -> Path:
    return FOUND / f"{name}.{reader}"


if __name__ == "__main__":
    main()
