"""The three-tier example in a real kernel: `make demo`, or `python -m examples.demo`.

Builds a private network namespace as the node and one for each pod and for a client outside,
loads the compiled ruleset, opens real TCP and UDP connections between all of them, and prints what
came through next to what the policies say. Everything vanishes with the process. Without root it
prints the ruleset's size and the verdicts only. Exit code 1 if kernel and policies disagree.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter
from typing import Literal, NamedTuple

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.core.nets import Family, family, format_address
from tests.helpers.lab import PodLab, Probe, unavailable

SNAPSHOT = Path(__file__).parent / "three-tier"
CLIENT = "outside"
CLIENT_ADDRESSES = ("203.0.113.7", "2001:db8::7")
PODS = (
    "production/frontend-1",
    "production/backend-1",
    "production/database-1",
    "kube-system/coredns",
    "other/client",
)


class Service(NamedTuple):
    """Where a server listens."""

    pod: str
    protocol: Literal["TCP", "UDP"]
    port: int

    def __str__(self) -> str:
        return f"{self.pod.partition('/')[2]} {self.protocol}/{self.port}"


SERVICES = (
    Service("production/frontend-1", "TCP", 80),
    Service("production/backend-1", "TCP", 8080),
    Service("production/database-1", "TCP", 5432),
    Service("kube-system/coredns", "UDP", 53),
)


def main() -> int:
    """Run the demonstration."""
    started = perf_counter()
    program = netpolc.compile(netpolc.load([SNAPSHOT]))
    ruleset = program.ruleset()
    took = (perf_counter() - started) * 1000
    count = sum(len(chain.rules) for chain in ruleset.table.chains)
    print(f"compiled {SNAPSHOT.parent.name}/{SNAPSHOT.name}: {count} rules in {took:.0f} ms")
    probes = [(source, service) for source in (CLIENT, *PODS) for service in SERVICES]
    reason = unavailable()
    if reason is not None:
        print(f"not loaded: {reason}; these are the verdicts of the policies alone\n")
        print(_table(probes, {probe: _policies_say(program, *probe) for probe in probes}, None))
        return 0
    said, done, drops = _measure(program, ruleset, probes)
    print(_table(probes, said[Family.IPV4], done[Family.IPV4]))
    wrong = sum(said[version] != done[version] for version in Family)
    total = sum(len(answers) for answers in done.values())
    print(f"\n{total} connections over IPv4 and IPv6, ", end="")
    print("all as the policies say." if not wrong else "NOT as the policies say.")
    print("\nWhat the kernel denied, by direction and the policies that isolate:")
    for policies, packets in drops:
        print(f"  {packets:>5} packets  {policies}")
    return 1 if wrong else 0


Answers = dict[tuple[str, Service], bool]


def _measure(
    program: netpolc.Program, ruleset: netpolc.Ruleset, probes: list[tuple[str, Service]]
) -> tuple[dict[Family, Answers], dict[Family, Answers], list[tuple[str, int]]]:
    """What the policies say and what the kernel did, for both families, and the drop counters."""
    addresses = {
        pod.key: [format_address(address) for address in pod.addresses]
        for pod in program.cluster.pods
        if pod.key in PODS
    }
    said: dict[Family, Answers] = {version: {} for version in Family}
    done: dict[Family, Answers] = {version: {} for version in Family}
    with PodLab(addresses, {CLIENT: CLIENT_ADDRESSES}) as lab:
        for service in SERVICES:
            lab.serve(service.pod, service.protocol, service.port)
        started = perf_counter()
        lab.node.call(lambda: Kernel().load(ruleset))
        took = (perf_counter() - started) * 1000
        print(f"loaded into a private network namespace in {took:.0f} ms\n")
        for version in Family:
            tries = [_probe(program, source, service, version) for source, service in probes]
            came = lab.connect_all(tries)
            for probe, arrived in zip(probes, came, strict=True):
                said[version][probe] = _policies_say(program, *probe, version)
                done[version][probe] = arrived
        loaded = lab.node.call(lambda: Kernel().facts.loaded(ruleset.options.table))
    assert loaded is not None
    drops = [(f"{drop.direction:<7}  {drop.policies}", drop.packets) for drop in loaded.drops]
    return said, done, sorted(drops)


def _address(program: netpolc.Program, name: str, version: Family) -> str:
    if name == CLIENT:
        return CLIENT_ADDRESSES[version is Family.IPV6]
    pod = next(pod for pod in program.cluster.pods if pod.key == name)
    return next(format_address(own) for own in pod.addresses if family(own) is version)


def _probe(program: netpolc.Program, source: str, service: Service, version: Family) -> Probe:
    destination = _address(program, service.pod, version)
    return Probe(source, destination, service.protocol, service.port)


def _policies_say(
    program: netpolc.Program, source: str, service: Service, version: Family = Family.IPV4
) -> bool:
    ends = _address(program, source, version), _address(program, service.pod, version)
    flow = netpolc.Flow(*ends, service.protocol, service.port)
    return netpolc.evaluate(program, flow).allowed


def _table(probes: list[tuple[str, Service]], said: Answers, done: Answers | None) -> str:
    """A line for each source; a cell says `allow pass`, or WRONG when the kernel disagrees."""
    head = "policies say" if done is None else "policies say, kernel did"
    rows = [[head, *map(str, SERVICES)]]
    for source in dict.fromkeys(source for source, _ in probes):
        cells = [source]
        for service in SERVICES:
            allowed = said[source, service]
            cell = "allow" if allowed else "deny"
            if done is not None:
                arrived = done[source, service]
                cell = f"{cell:<5} {'pass' if arrived else 'drop'}"
                cell += "" if arrived is allowed else " WRONG"
            cells.append(cell)
        rows.append(cells)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


if __name__ == "__main__":
    sys.exit(main())
