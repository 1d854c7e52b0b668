"""Peak memory of load, compile and one ruleset, in a process of its own.

In: a cluster's file and a node, as arguments. Out: peak resident memory in MiB on standard
output, that of the interpreter and of everything imported included. Refused: an empty ruleset.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import netpolc


def peak(path: Path, node: str) -> float:
    """MiB of a child process that compiles `path` for `node`."""
    command = [sys.executable, "-m", "benches.memory", str(path), node]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    path, node = sys.argv[1:]
    program = netpolc.compile(netpolc.load([path]))
    if "chain" not in program.ruleset(node=node).text():
        raise ValueError(f"the ruleset of {node} has no chain")
    print(high_water_mark() / 1024)


def high_water_mark() -> int:
    """KiB. Not `ru_maxrss`: Linux carries the parent's over an exec (`exec_mmap` in fs/exec.c)."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0])
    raise OSError("/proc/self/status has no VmHWM")


if __name__ == "__main__":
    main()
