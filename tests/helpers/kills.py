"""Processes killed at random moments while they change a table.

In: what to do, a seed, how often; run inside a network namespace (`python -m tests.helpers.kills`).
Out, as JSON: how often the old and the new table were found afterwards, and every other listing,
which there must not be. A warm parent forks each victim, so that kills fall on the part that
matters; a victim has a socket of its own, which its parent never uses.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random

import netpolc
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.guard import Pending
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.rollout import Plan, roll_out
from netpolc.backends.nft.rollout.state.loaded import Unconfirmed
from netpolc.backends.nft.write.ruleset import Ruleset
from netpolc.cli.output import write
from tests.helpers.scenarios import ROOT

EXAMPLES = ("three-tier", "recipe-deny-all")
_NOTES = re.compile(
    r"\t(?:counter meta_(?:loaded|seal|unconfirmed)|set meta_pods[46]) \{.*?\n\t\}\n\n?", re.DOTALL
)
Act = Callable[[Kernel], object]


def listing() -> str:
    """The table as `nft` lists it, object by object, without when it was loaded, whose addresses it
    knows and what it counted. The order of objects tells by which way they came.
    """
    nft = import_module("nftables").Nftables()
    _, text, _ = nft.cmd("list table inet netpolc")
    kept = re.sub(r"packets \d+ bytes \d+", "", _NOTES.sub("", text))
    head, comment, objects = kept.partition('comment "netpolc"\n')
    return head + comment + "\n".join(sorted(own.strip() for own in objects.split("\n\t}\n")))


def rulesets() -> list[Ruleset]:
    paths = [str(ROOT / "examples" / name) for name in EXAMPLES]
    return [netpolc.compile(netpolc.load([path])).ruleset() for path in paths]


def killed(act: Act, seconds: float | None) -> float:
    """Do it in a child that is killed after some time (None: never); how long the child lived."""
    kernel = Kernel()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        act(kernel)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with runtime.lock("netpolc"):
        pass
    assert seconds is not None or status == 0
    return time.perf_counter() - started


class Loads:
    """One ruleset, which is loaded, is replaced by the other."""

    def __init__(self, folder: Path) -> None:
        self.rulesets = rulesets()

    def prepare(self, kernel: Kernel, old: int) -> None:
        """Whatever it needs besides."""

    def act(self, old: int) -> Act:
        return lambda kernel: kernel.load(self.rulesets[1 - old])

    def problem(self) -> str:
        return ""


class Saves(Loads):
    """The same; what is replaced is saved before, over another file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._file = folder / "before.nft"

    def prepare(self, kernel: Kernel, old: int) -> None:
        self._file.write_text("untouched")
        self._whole = kernel.saved("netpolc").text

    def act(self, old: int) -> Act:
        plan = Plan(save=lambda text: write(text, str(self._file)))
        return lambda kernel: roll_out(kernel, self.rulesets[1 - old], plan)

    def problem(self) -> str:
        text = self._file.read_text()
        return "" if text in ("untouched", self._whole) else text


class Undoes(Loads):
    """An unconfirmed table is replaced by the one before it, as the guard does it."""

    def prepare(self, kernel: Kernel, old: int) -> None:
        kernel.load(self.rulesets[1 - old])
        self._pending = Pending(
            "netpolc", Unconfirmed.after("0123456789abcdef", 60), kernel.saved("netpolc")
        )
        kernel.update(self.rulesets[old], unconfirmed=self._pending.unconfirmed)
        runtime.keep("0123456789abcdef", self._pending.previous.text)

    def act(self, old: int) -> Act:
        return self._pending.undo


KINDS = {"load": Loads, "save": Saves, "undo": Undoes}


def run(kind: str, seed: int, count: int, folder: Path) -> dict[str, object]:
    """Kill that often; what was found."""
    random, kernel = Random(seed), Kernel()
    work = KINDS[kind](folder)
    known = []
    for number in (0, 1):
        kernel.load(work.rulesets[number])
        known.append(listing())
    durations = []
    for old in (1, 0, 1):
        work.prepare(kernel, old)
        durations.append(killed(work.act(old), None))
    found, others, old = {"old": 0, "new": 0}, [], 0
    for _ in range(count):
        work.prepare(kernel, old)
        killed(work.act(old), random.uniform(0, 1.3 * sorted(durations)[1]))
        now = listing()
        if now not in known or work.problem():
            others.append(now + work.problem())
            continue
        found["old" if now == known[old] else "new"] += 1
        old = known.index(now)
    return {**found, "others": others}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
