"""What each stage costs for hostile shapes of policies, at a size and at twice the size.

    python -m benches.shapes                      # every shape and stage
    python -m benches.shapes --shape ranges --stage ruleset

In: names of shapes and stages. Out: a row for each: CPU time at both sizes, how many times it grew
(2 is linear), and how many times the output of the stage did, or `Run.size` if that grew more.
Both sizes are timed in turns, the figure is the ratio of the lowest of each. Exit code 1 if one
grew more than `LIMIT` times, and that for each time that the output doubled. Nothing is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from math import log2
from typing import Any

import click

import netpolc
from benches.steps import forget_memos
from benches.timing import timed
from netpolc.analysis.connectivity.table import Table
from netpolc.analysis.explain import explain, formats
from netpolc.analysis.explain.policy import describe, text
from netpolc.analysis.findings import check
from netpolc.backends.matcher import tables
from netpolc.backends.nft.objects import index
from netpolc.backends.nft.write.delta import delta
from netpolc.core.ir import ANY
from netpolc.passes.identify import pod_peers, selected

Manifest = dict[str, Any]
LIMIT = 2.3
NODE = "node-a"
LEAST = 0.002
"""Below so many CPU seconds at twice the size a ratio says nothing."""
ENOUGH = 0.3
"""CPU seconds after which more rounds would say little."""
MOST_ROUNDS = 7


def _pod(name: str, number: int, space: str = "a", **spec: Any) -> Manifest:
    addresses = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"fd00::{number:x}"]
    labels = spec.pop("labels", {})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": space, "labels": labels},
        "spec": {"nodeName": spec.pop("node", NODE), "containers": [{"name": "c", **spec}]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": own} for own in addresses],
        },
    }


def _policy(name: str, space: str = "a", **spec: Any) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": space},
        "spec": {"podSelector": {}, **spec},
    }


def _block(number: int, *, length: int = 24) -> Manifest:
    return {
        "ipBlock": {"cidr": f"{20 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.0/{length}"}
    }


def _own(number: int) -> Manifest:
    return {"podSelector": {"matchLabels": {"own": f"v{number}"}}}


def _but(number: int) -> Manifest:
    need = {"key": "own", "operator": "NotIn", "values": [f"v{number}"]}
    return {"podSelector": {"matchExpressions": [need]}}


def _pods(count: int, **spec: Any) -> list[Manifest]:
    """Pods that each have a label of their own, on other nodes but for the first."""
    return [
        _pod(
            f"p{at}",
            at + 2,
            labels={"own": f"v{at}", "all": "yes"},
            node="node-b" if at else NODE,
            **{key: value(at) for key, value in spec.items()},
        )
        for at in range(count)
    ]


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "containerPort": number}


def ranges(n: int) -> list[Manifest]:
    """Rules with a block each, on ranges of ports that overlap."""
    rules = [
        {"from": [_block(2 * at)], "ports": [{"port": 1000 + at, "endPort": 1000 + at + n}]}
        for at in range(n)
    ]
    return [_pod("p", 1), _policy("t", ingress=rules)]


def ranges_of_pods(n: int) -> list[Manifest]:
    """The same with a pod each, in both directions."""

    def rules(side: str) -> list[Manifest]:
        return [
            {side: [_own(at)], "ports": [{"port": 1000 + at, "endPort": 1000 + at + n}]}
            for at in range(n)
        ]

    types = ["Ingress", "Egress"]
    own = _policy("t", ingress=rules("from"), egress=rules("to"), policyTypes=types)
    return [*_pods(n), own]


def nested_ranges(n: int) -> list[Manifest]:
    """Each range of ports inside the one before."""
    rules = [
        {"from": [_block(2 * at)], "ports": [{"port": 1000 + at, "endPort": 60000 - at}]}
        for at in range(n)
    ]
    return [_pod("p", 1), _policy("t", ingress=rules)]


def blocks(n: int) -> list[Manifest]:
    """One rule with many blocks."""
    return [_pod("p", 1), _policy("t", ingress=[{"from": [_block(2 * at) for at in range(n)]}])]


def nested_blocks(n: int) -> list[Manifest]:
    """Rules whose blocks lie in each other, a port each."""
    rules = []
    for at in range(n):
        length = 8 + at % 24
        value = (20 << 24 | at // 24 << 12) & -1 << 32 - length
        address = ".".join(map(str, value.to_bytes(4, "big")))
        peer = {"ipBlock": {"cidr": f"{address}/{length}"}}
        rules.append({"from": [peer], "ports": [{"port": 1 + at}]})
    return [_pod("p", 1), _policy("t", ingress=rules)]


def excepts(n: int) -> list[Manifest]:
    """One block with many exceptions."""
    holes = [f"20.{at >> 8}.{at & 255}.0/25" for at in range(n)]
    own = {"ipBlock": {"cidr": "20.0.0.0/8", "except": holes}}
    return [_pod("p", 1), _policy("t", ingress=[{"from": [own], "ports": [{"port": 80}]}])]


def holes(n: int) -> list[Manifest]:
    """Rules with a port each and a block without one address."""
    rules = [
        {
            "from": [
                {
                    "ipBlock": {
                        "cidr": "20.0.0.0/8",
                        "except": [f"20.0.{at >> 7}.{2 * (at & 127)}/32"],
                    }
                }
            ],
            "ports": [{"port": 1 + at}],
        }
        for at in range(n)
    ]
    return [_pod("p", 1), _policy("t", ingress=rules)]


def duplicates(n: int) -> list[Manifest]:
    """A rule that lists the same ports and blocks again and again, and the rule as often."""
    rule = {
        "from": [_block(at % 7) for at in range(n)],
        "ports": [{"port": 80 + at % 5} for at in range(n)],
    }
    return [_pod("p", 1), _policy("t", ingress=[rule, *[{**rule, "from": [_block(1)]}] * 4])]


def peers(n: int) -> list[Manifest]:
    """Many selectors in one rule."""
    rule = {"from": [_own(at) for at in range(n)], "ports": [{"port": 80}]}
    return [*_pods(n), _policy("t", ingress=[rule])]


def policies(n: int) -> list[Manifest]:
    """Many policies over the same pods, a rule each."""
    own = [
        _policy(f"t{at}", ingress=[{"from": [_own(at)], "ports": [{"port": 1 + at}]}])
        for at in range(n)
    ]
    return [*_pods(n), *own]


def combinations(n: int) -> list[Manifest]:
    """A policy for each pod, and one for all: every pod has a combination of its own."""
    own = [
        _policy(f"t{at}", **_own(at), ingress=[{"from": [_own(at + 1)], "ports": [{"port": 80}]}])
        for at in range(n)
    ]
    return [*_pods(n), *own, _policy("all", ingress=[{"from": [_block(1)]}])]


def namespaces(n: int) -> list[Manifest]:
    """A namespace and a pod for each rule."""
    spaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"n{at}"}} for at in range(n)
    ]
    pods = [_pod("p", at + 2, f"n{at}", node="node-b") for at in range(n)]
    key = "kubernetes.io/metadata.name"
    rules = [
        {
            "from": [{"namespaceSelector": {"matchLabels": {key: f"n{at}"}}}],
            "ports": [{"port": at + 1}],
        }
        for at in range(n)
    ]
    return [*spaces, *pods, _pod("p", 1), _policy("t", ingress=rules)]


def names(n: int) -> list[Manifest]:
    """A pod with many port names, all of which rules ask for."""
    own = _pod("p", 1, ports=[_port(f"n{at}", 1 + at) for at in range(n)])
    rules = [{"from": [_block(2 * at)], "ports": [{"port": f"n{at}"}]} for at in range(n)]
    return [own, _policy("t", ingress=rules)]


def own_ports(n: int) -> list[Manifest]:
    """Pods that each have another number behind one name, and a rule that asks for it."""
    pods = _pods(n, ports=lambda at: [_port("http", 1000 + at)])
    rule = {"to": [{"podSelector": {}}], "ports": [{"port": "http"}]}
    return [*pods, _policy("t", egress=[rule], policyTypes=["Egress"])]


def overlapping(n: int) -> list[Manifest]:
    """Rules that ask for all pods but one; the members of their selectors are the square of n."""
    rules = [{"from": [_but(at)], "ports": [{"port": 1 + at}]} for at in range(n)]
    return [*_pods(n), _policy("t", ingress=rules)]


def named(n: int) -> list[Manifest]:
    """The same by names of ports, of which each pod has its own numbers."""
    pods = _pods(n, ports=lambda at: [_port(f"n{own}", 1000 + at + own) for own in range(3)])
    rules = [{"to": [_but(at)], "ports": [{"port": f"n{at % 3}"}]} for at in range(n)]
    return [*pods, _policy("t", egress=rules, policyTypes=["Egress"])]


def identities(n: int) -> list[Manifest]:
    """Pods that are all told apart, and one policy that admits them all."""
    pods = [_pod(f"p{at}", at + 2, labels={"own": f"v{at}"}, node="node-b") for at in range(n)]
    all_of_them = [{"key": "own", "operator": "In", "values": [f"v{at}" for at in range(n)]}]
    rule = {"from": [{"podSelector": {"matchExpressions": all_of_them}}]}
    single = [_policy(f"t{at}", ingress=[{"from": [_own(at)]}]) for at in range(n)]
    return [_pod("p", 1), *pods, _policy("t", ingress=[rule]), *single]


Shape = Callable[[int], list[Manifest]]
SHAPES: dict[Shape, int] = {
    ranges: 800,
    ranges_of_pods: 400,
    nested_ranges: 800,
    blocks: 4000,
    nested_blocks: 400,
    excepts: 4000,
    holes: 300,
    duplicates: 1500,
    peers: 500,
    policies: 300,
    combinations: 300,
    namespaces: 400,
    names: 400,
    own_ports: 200,
    overlapping: 200,
    named: 200,
    identities: 400,
}
"""Each shape with the size it is measured at first."""


class Run:
    """A shape of one size with what its stages need, made once."""

    def __init__(self, shape: Shape, size: int, options: netpolc.Options) -> None:
        nodes = [
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
            for name in (NODE, "node-b")
        ]
        self.objects = [*nodes, *shape(size)]
        self.options = options
        self.snapshot = netpolc.load_objects(self.objects)
        self.program = netpolc.compile(self.snapshot)
        self.before = index(netpolc.compile(self._smaller()).ruleset(NODE, options).objects())

    @cached_property
    def size(self) -> int:
        """Tuples of the program, the identities in them, and the pods of all selectors, which are
        what a policy is measured by (`passes/bound.py`).
        """
        peers = dict.fromkeys(peer for own in self.snapshot.policies for peer in pod_peers(own))
        chosen = sum(selected(self.snapshot.cluster, peers))
        tiers = (tier for own in self.program.combinations for tier in own.tiers)
        matches = [rule.match for tier in tiers for rule in tier.rules]
        return (
            chosen
            + len(matches)
            + sum(len(m.identities) for m in matches if m.identities is not ANY)
        )

    def _smaller(self) -> netpolc.Snapshot:
        """Without the last policy or, if there is but one, the last rule."""
        *rest, last = self.objects
        spec = {
            key: value[:-1] if key in ("ingress", "egress") else value
            for key, value in last["spec"].items()
        }
        return netpolc.load_objects([*rest, {**last, "spec": spec}])

    def load(self) -> int:
        netpolc.load_objects(self.objects)
        return len(self.objects)

    def compile(self) -> int:
        netpolc.compile(self.snapshot)
        return self.size

    def check(self) -> int:
        return sum(len(found.message) for found in check(self.snapshot, self.program))

    def ruleset(self) -> int:
        program = netpolc.Program(
            self.program.cluster, self.program.identities, self.program.combinations
        )
        return len(program.ruleset(NODE, self.options).text())

    def delta(self) -> int:
        program = netpolc.Program(
            self.program.cluster, self.program.identities, self.program.combinations
        )
        found = delta("netpolc", self.before, index(program.ruleset(NODE).objects()))
        return found.lines if found is not None else 0

    def matcher(self) -> int:
        found = tables.build(self.program)
        blocks = found.egress_blocks.nbytes + found.ingress_blocks.nbytes
        return found.pairs.nbytes + blocks + found.bits.nbytes

    def list(self) -> int:
        return sum(1 + len(found.ports.spans) for found in Table(self.program).connections())

    def explain(self) -> int:
        policy = self.snapshot.policies[-1]
        said = describe(self.snapshot, policy)
        flow = netpolc.Flow("30.0.0.1", "10.0.0.1", "TCP", 9)
        found = explain(self.program, self.snapshot, flow)
        lines = [line.text for line in formats.text((found,))]
        return sum(len(line) for line in (*lines, *text(said)))


STAGES = ("load", "compile", "check", "ruleset", "delta", "matcher", "list", "explain")
OPTIONS = {
    "plain": netpolc.Options(),
    "recheck": netpolc.Options(established="recheck", deny="reject", audit=True),
}


def measured(runs: Sequence[Run], stage: str, rounds: int) -> tuple[list[float], list[int]]:
    """CPU seconds of a stage of some runs, and how much they gave.

    They run in turns, quick ones more often: in at least `rounds` and until all took `ENOUGH`. The
    lowest counts: what others do on the machine can only add to it.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    given = [0] * len(runs)
    while len(seconds[0]) < rounds or sum(map(sum, seconds)) < ENOUGH:
        for at, run in enumerate(runs):
            forget_memos()
            spent, given[at] = timed(getattr(run, stage))
            seconds[at].append(spent)
        if len(seconds[0]) >= MOST_ROUNDS:
            break
    return [min(own) for own in seconds], given


@click.command()
@click.option("--shape", "shapes", multiple=True, help="Only these shapes.")
@click.option("--stage", "stages", multiple=True, type=click.Choice(STAGES), help="Only these.")
@click.option("--options", "chosen", default="plain", type=click.Choice(list(OPTIONS)))
@click.option("--rounds", default=3, help="At least so many.")
@click.option("--scale", default=1.0, help="Multiplies the sizes.")
def main(
    shapes: Sequence[str], stages: Sequence[str], chosen: str, rounds: int, scale: float
) -> None:
    """Print how each stage grows for each shape when it doubles."""
    worst: list[str] = []
    print("| shape | n, 2n | stage | CPU at n | at 2n | grew | output grew |")
    print("|---|---|---|---|---|---|---|")
    for shape, least in SHAPES.items():
        if shapes and shape.__name__ not in shapes:
            continue
        size = int(least * scale)
        runs = [Run(shape, own, OPTIONS[chosen]) for own in (size, 2 * size)]
        for stage in stages or STAGES:
            (once, twice), (few, many) = measured(runs, stage, rounds)
            grew, more = twice / once, many / few if few else 1.0
            more = max(more, runs[1].size / runs[0].size)
            is_odd = twice > LEAST and grew > LIMIT ** max(1, log2(more))
            mark = " **" if is_odd else ""
            cells = (shape.__name__, f"{size}, {2 * size}", stage, f"{1000 * once:.1f} ms")
            rest = f"{1000 * twice:.1f} ms", f"{grew:.2f}{mark}", f"{more:.2f}"
            print(f"| {' | '.join((*cells, *rest))} |", flush=True)
            if is_odd:
                worst.append(f"{shape.__name__}: {stage}")
    if worst:
        print(f"grew more than {LIMIT} times: {', '.join(worst)}", file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
