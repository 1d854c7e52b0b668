"""Scenarios: a folder of manifests beside `flows.txt`, the hand-written truth about it.

In: the folders of `examples/` and `tests/cases/`. Out: `Scenario` values with their expected flows.
Refused: a line that is not `SRC -> DST PROTOCOL[/PORT] allow|deny` (`ValueError` with its number).
The grammar is described in examples/README.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import netpolc
from netpolc.core.nets import Family, family, format_address

ROOT = Path(__file__).parents[2]
_LINE = re.compile(
    r"(?P<source>\S+)\s+->\s+(?P<destination>\S+)\s+"
    r"(?P<protocol>TCP|UDP|SCTP|ICMP|\d+)(/(?P<port>\d+))?\s+(?P<verdict>allow|deny)"
)


@dataclass(frozen=True, slots=True)
class Expected:
    """One line of flows.txt."""

    line: int
    source: str
    destination: str
    protocol: str
    port: int | None
    allowed: bool

    def flows(self, program: netpolc.Program) -> Iterator[netpolc.Flow]:
        """The flows it stands for: one for each address family the two ends share."""
        ends = netpolc.flows_between(program, self.source, self.destination, 253, None)
        for end in ends:
            source, destination = format_address(end.source), format_address(end.destination)
            protocol: str | int = self.protocol
            if protocol == "ICMP":
                protocol = 1 if family(end.source) is Family.IPV4 else 58
            elif isinstance(protocol, str) and protocol.isdigit():
                protocol = int(protocol)
            yield netpolc.Flow(source, destination, protocol, self.port)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A snapshot with what must come of it."""

    folder: Path
    semantics: str
    odd_objects: str
    expected: tuple[Expected, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifests(self) -> list[Path]:
        return sorted(p for p in self.folder.iterdir() if p.suffix in (".yaml", ".yml", ".json"))

    def snapshot(self) -> netpolc.Snapshot:
        return netpolc.load(self.manifests, semantics=self.semantics, odd_objects=self.odd_objects)

    def program(self) -> netpolc.Program:
        return netpolc.compile(self.snapshot())


def read(folder: Path) -> Scenario:
    """The scenario in a folder."""
    semantics, odd_objects = "current", "refuse"
    expected = []
    for number, text in enumerate((folder / "flows.txt").read_text().splitlines(), start=1):
        line = text.partition("#")[0].strip()
        if line.startswith("semantics:"):
            semantics = line.removeprefix("semantics:").strip()
        elif line.startswith("odd-objects:"):
            odd_objects = line.removeprefix("odd-objects:").strip()
        elif line:
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"{folder / 'flows.txt'}:{number}: not a flow: {line}")
            source, destination, protocol, _, port, verdict = match.groups()
            expected.append(
                Expected(
                    number,
                    source,
                    destination,
                    protocol,
                    int(port) if port else None,
                    verdict == "allow",
                )
            )
    return Scenario(folder, semantics, odd_objects, tuple(expected))


@cache
def everything() -> tuple[Scenario, ...]:
    """Every example and every case."""
    folders = [
        path.parent
        for place in (ROOT / "examples", ROOT / "tests" / "cases")
        for path in place.glob("*/flows.txt")
    ]
    return tuple(read(folder) for folder in sorted(folders))


def forwarded(program: netpolc.Program, flow: netpolc.Flow) -> bool:
    """Whether a packet of this flow would meet the forward hook.

    Traffic between a node and its own pods never does: it is the node's own. What it may do is
    tested with real sockets in `tests/kernel/test_node.py`. What a pod sends to its own address
    never leaves it; by NetworkPolicies it would be accepted here, too, so only where ordered tiers
    deny it as a Service's hairpin is it left out.
    """
    if netpolc.evaluate(program, flow).allowed is not (
        netpolc.evaluate(program, flow, hairpin=True).allowed
    ):
        return False
    for end, other in ((flow.source, flow.destination), (flow.destination, flow.source)):
        pod = program.pods_by_address.get(end)
        if pod is not None and other in program.cluster.node_addresses(pod):
            return False
    return True
