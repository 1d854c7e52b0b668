"""Loading one node's ruleset into the kernel, against a linear chain for every pod.

In: a number of policies. Out: CPU seconds (user and system: parsing in libnftables, the kernel's
transaction) of both rulesets in a private network namespace, and whether they judge flows alike.
Refused: rulesets that disagree. Needs what
`tests.helpers.lab.unavailable` asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import netpolc
from benches.linear import linear_chain_per_pod
from benches.timing import timed
from benches.workloads import LOCAL_NODE, cached_node_cluster
from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.nets import IPV6, format_address
from tests.helpers.lab import Flow, Injector, Router

OUTSIDE = ("192.0.2.1", "192.0.2.9", "198.51.100.7", "203.0.113.70", "192.168.7.7")


@dataclass(frozen=True, slots=True)
class Pair:
    """Both rulesets of `LOCAL_NODE`, and flows that pass it."""

    netpolc: str
    linear: str
    flows: list[Flow]


def pair(policies: int) -> Pair:
    """Both rulesets for a cluster whose policies all select pods of one node."""
    snapshot = netpolc.load([str(cached_node_cluster(policies))])
    text = netpolc.compile(snapshot).ruleset(node=LOCAL_NODE).text()
    return Pair(text, linear_chain_per_pod(snapshot, LOCAL_NODE), _flows(snapshot))


def load_rounds(rulesets: Pair, rounds: int) -> list[tuple[float, float]]:
    """(netpolc, linear) CPU seconds a round; each is loaded into an empty namespace."""
    with Router() as router:
        return [_round(router, rulesets, swapped=number % 2 == 1) for number in range(rounds)]


def _round(router: Router, rulesets: Pair, swapped: bool) -> tuple[float, float]:
    """One round, in either order: the kernel still frees the last table while the next loads."""
    if swapped:
        linear = _load(router, rulesets.linear)
        return _load(router, rulesets.netpolc), linear
    return _load(router, rulesets.netpolc), _load(router, rulesets.linear)


def _load(router: Router, text: str) -> float:
    seconds, _ = timed(lambda: router.load(text))
    router.flush()
    return seconds


def verdicts(rulesets: Pair) -> list[bool]:
    """What both rulesets say to packets of the flows; `ValueError` where they differ."""
    with Injector() as injector:
        answers = []
        for text in (rulesets.netpolc, rulesets.linear):
            injector.load(text)
            answers.append(injector.judge(rulesets.flows))
            injector.flush()
    for flow, ours, plain in zip(rulesets.flows, *answers, strict=True):
        if ours != plain:
            raise ValueError(f"{flow}: netpolc says {ours}, the linear chain {plain}")
    return answers[0]


def _flows(snapshot: Snapshot, count: int = 400) -> list[Flow]:
    """Flows in and out of local pods: half their peers in the same namespace, some outside."""
    rng = Random("flows")
    pods = [pod for pod in snapshot.cluster.pods if not pod.host_network]
    local = [pod for pod in pods if pod.node == LOCAL_NODE]
    flows: list[Flow] = []
    while len(flows) < count:
        subject = rng.choice(local)
        near = [pod for pod in pods if pod.namespace == subject.namespace]
        peer = rng.choice(near if rng.random() < 0.5 else pods)
        if peer is subject:
            continue
        flows.append(_flow(peer, subject, rng))
        flows.append(_flow(subject, peer, rng))
        flows.append((rng.choice(OUTSIDE), _address(subject), 6, _port(subject, rng)))
    return flows


def _flow(source: Pod, destination: Pod, rng: Random) -> Flow:
    return _address(source), _address(destination), 6, _port(destination, rng)


def _address(pod: Pod) -> str:
    return next(format_address(address) for address in pod.addresses if address < IPV6)


def _port(pod: Pod, rng: Random) -> int:
    return rng.choice([number for _, _, number in pod.ports] or [443])
