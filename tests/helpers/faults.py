"""Every step of a rollout fails, one after the other, in every way there is.

In: kinds of faults, options of `netpolc apply`; run inside a network namespace as `python -m
tests.helpers.faults KIND,KIND... FOLDER OPTION...`. Out, as JSON: for each kind and step, how the
command ended, what it said, and which table was in force afterwards: the old one, the new one, or
another.

A step is one transaction, one reading of what is loaded, one command that netpolc gives to
libnftables, or one question for the generation. The kernel refuses what it did, or netpolc gets a
signal, before or after the step. Between netpolc and the real libnftables is a stand-in for its
binding, which ends its process as well. A warm parent forks each victim.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

from netpolc.backends.nft.netlink.wire import Wire
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.libnftables import session
from netpolc.backends.nft.rollout.loader import NetlinkLoader
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.cli import run
from netpolc.core.errors import SystemRefusal
from tests.helpers.kills import rulesets

SNAPSHOT = """
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {containers: [{name: web}]}
status: {phase: Running, podIP: 10.0.0.1}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}
"""
"""What is loaded over another: small, because it is proven hundreds of times."""
STAND_IN = """
import os, signal, sys
from importlib import util
PLACE = {place!r}
spec = util.spec_from_file_location("real", PLACE + "/nftables/__init__.py",
                                    submodule_search_locations=[PLACE + "/nftables"])
real = sys.modules["real"] = util.module_from_spec(spec)
spec.loader.exec_module(real)

class Nftables(real.Nftables):
    def cmd(self, text):
        with open({folder!r} + "/calls", "a+") as calls:
            calls.write(".")
            calls.flush()
            number = calls.tell()
        with open({folder!r} + "/fault") as fault:
            kind, when, step = fault.read().split()
        if number != int(step) and not (kind == "dead" and number > int(step)):
            return super().cmd(text)
        # One that stays dead does nothing more after its first death.
        answer = super().cmd(text) if when == "after" and number == int(step) else None
        if kind in ("die", "dead"):
            os._exit(3)
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "refuse":
            return -1, "", "Error: netlink: Could not process rule: No buffer space available"
        os.kill(os.getppid(), getattr(signal, kind))
        return super().cmd(text) if answer is None else answer
"""


def in_force(kernel: Kernel) -> str:
    """The digest of the table, if it is whole: its content is what it says of itself."""
    loaded, content = kernel.facts.loaded("netpolc"), kernel.tables.content("netpolc")
    return content if loaded is not None and content == loaded.digest else f"not whole: {loaded}"


STEPS = (
    (Wire, "commit"),
    (NetlinkLoader, "count"),
    (LoadedTables, "objects"),
    (LoadedTables, "counters"),
    (LoadedTables, "members"),
)
"""What is asked of the kernel without libnftables."""


def faulty(own: Callable[..., object], folder: Path, kind: str, step: int) -> Callable[..., object]:
    """The same, with a fault at one step."""
    cause, _, when = kind.partition("-")

    def called(*arguments: object, **options: object) -> object:
        with (folder / "calls").open("a") as calls:
            calls.write(".")
            calls.flush()
            here = calls.tell() == step
        if here and when == "before":
            strike(cause)
        found = own(*arguments, **options)
        if here and when == "after":
            strike(cause)
        return found

    return called


def strike(cause: str) -> None:
    if cause == "refuse":
        raise SystemRefusal("the kernel does not answer: No buffer space available")
    if cause.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[cause])


def victim(arguments: list[str], folder: Path, kind: str, step: int) -> int:
    """`netpolc` with some arguments, in a child that meets a fault; how it ended."""
    (folder / "calls").write_text("")
    cause, _, when = kind.partition("-")
    (folder / "fault").write_text(f"{cause} {when or 'never'} {step if when else 1000}")
    child = os.fork()
    if child == 0:
        with (folder / "said").open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        numbers, read = count(1), Generation.read

        def failing(self: Generation) -> int:
            with (folder / "calls").open("a") as calls:
                calls.write("." if kind == "generation" else "")
            if next(numbers) == step and kind == "generation":
                raise SystemRefusal("nf_tables does not tell its generation: No buffer space")
            return read(self)

        Generation.read = failing  # type: ignore[method-assign]
        for owner, name in STEPS:
            setattr(owner, name, faulty(getattr(owner, name), folder, kind, step))
        sys.argv = ["netpolc", *arguments]
        try:
            run()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def faults(kinds: list[str], folder: Path, options: list[str]) -> dict[str, object]:
    """What became of it at each step, for each kind until a run that had fewer steps."""
    (folder / "nftables").mkdir()
    code = STAND_IN.format(place=session.binding(), folder=str(folder))
    (folder / "nftables" / "__init__.py").write_text(code)
    kernel, old = Kernel(), rulesets()[1]
    kernel.load(old)  # through the real one, which it goes on with
    session.binding = lambda: str(folder)
    (folder / "snapshot.yaml").write_text(SNAPSHOT)
    arguments = ["apply", str(folder / "snapshot.yaml"), "--all-pods"]
    recheck = [own for own in options if own in ("--established", "recheck")]
    assert victim([*arguments, *recheck], folder, "none", 0) == 0
    after = in_force(kernel)
    found: dict[str, object] = {}
    for kind in kinds:
        found[kind] = steps = []
        for step in range(1, 40):
            kernel.load(old)
            before = in_force(kernel)
            ended = victim([*arguments, *options], folder, kind, step)
            with runtime.lock("netpolc"):  # until its worker has ended, too
                now = in_force(kernel)
            said = (folder / "said").read_text()
            table = {before: "old", after: "new"}.get(now, now)
            steps.append({"ended": ended, "said": said, "table": table})
            if len((folder / "calls").read_text()) < step:
                break
    return found


if __name__ == "__main__":
    print(json.dumps(faults(sys.argv[1].split(","), Path(sys.argv[2]), sys.argv[3:])))
