"""`python -m benches.ordered [--rounds N]`: what cluster-scoped policies cost a compilation.

In: the number of rounds. Out: rows for BENCHMARKS.md, each a step of a cluster of size M with 200
ClusterNetworkPolicies of 25 rules as a ratio to the same step without them, in the same round.
Nothing is refused.

Three of four policies are for one namespace, the others for all, for an environment or for a team.
Peers are namespaces of a team and environment, workloads of the cluster and, of egress, blocks;
four of five rules have ports, those of the cluster's containers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import click

import netpolc
from benches.measure import machine, say
from benches.pods import dumps
from benches.steps import forget_memos
from benches.timing import HEADER, Ratio, timed
from benches.workloads import LOCAL_NODE, SIZES, Size, cached
from benches.world import ENVS, TEAMS, World, plan

POLICIES, RULES, ROUNDS = 200, 25, 7
STEPS = ("load", "compile", "load + compile", "first ruleset", "all of it")
_TARGETS = {"compile": "<= 1.5", "load + compile": "<= 1.5"}
Json = dict[str, Any]


def policies(world: World, count: int, rules: int) -> Iterator[str]:
    """ClusterNetworkPolicies over the tenants of a world."""
    rng = Random(f"cluster policies {world.seed}")
    numbers = sorted({p.number for t in world.tenants for w in t.workloads for p in w.ports})
    for number in range(count):
        spec: Json = {
            "tier": "Admin" if number % 3 else "Baseline",
            "priority": number,
            "subject": {"namespaces": _subject(world, rng, one=number % 4 != 0)},
            "ingress": [],
            "egress": [],
        }
        for place in range(rules):
            way = ("egress", "ingress")[place % 2]
            rule: Json = {"name": f"rule {place}", "action": rng.choice(("Accept", "Deny", "Pass"))}
            count_of_peers = rng.choice((1, 1, 2))
            peers = [_peer(world, rng, way) for _ in range(count_of_peers)]
            rule["from" if way == "ingress" else "to"] = peers
            if place % 5 != 4:
                some = [rng.choice(numbers) for _ in range(rng.choice((1, 1, 2)))]
                rule["protocols"] = [{"tcp": {"destinationPort": {"number": own}}} for own in some]
            spec[way].append(rule)
        yield dumps(
            {
                "apiVersion": "policy.networking.k8s.io/v1alpha2",
                "kind": "ClusterNetworkPolicy",
                "metadata": {"name": f"guard-{number}"},
                "spec": spec,
            }
        )


def _subject(world: World, rng: Random, *, one: bool) -> Json:
    if one:
        return _labelled("kubernetes.io/metadata.name", rng.choice(world.tenants).name)
    return rng.choice(
        ({}, _labelled("env", rng.choice(ENVS)), _labelled("team", rng.choice(TEAMS)))
    )


def _peer(world: World, rng: Random, way: str) -> Json:
    kind = rng.random()
    if kind < 0.35:
        labels = {"team": rng.choice(TEAMS), "env": rng.choice(ENVS)}
        return {"namespaces": {"matchLabels": labels}}
    if kind < 0.8 or way == "ingress":
        tenant = rng.choice(world.tenants)
        return {
            "pods": {
                "namespaceSelector": _labelled("kubernetes.io/metadata.name", tenant.name),
                "podSelector": _labelled("app", rng.choice(tenant.workloads).app),
            }
        }
    first = rng.choice((10, 172, 203))
    return {"networks": [f"{first}.{rng.randrange(256)}.{rng.randrange(256)}.0/24"]}


def _labelled(key: str, value: str) -> Json:
    return {"matchLabels": {key: value}}


def written(size: Size, folder: Path, count: int = POLICIES, rules: int = RULES) -> Path:
    """A file with the policies alone, beside the cached one of the cluster."""
    world = plan(size.pods, size.nodes, 1)
    path = folder / "cluster-policies.json"
    items = ",".join(policies(world, count, rules))
    path.write_text(f'{{"apiVersion":"v1","kind":"List","items":[{items}]}}')
    return path


def one_round(paths: list[str]) -> dict[str, float]:
    """CPU seconds of every step, cold."""
    forget_memos()
    load, snapshot = timed(lambda: netpolc.load(paths))
    compiled, program = timed(lambda: netpolc.compile(snapshot))
    emitted, _ = timed(lambda: program.ruleset(LOCAL_NODE).text())
    steps = load, compiled, load + compiled, emitted, load + compiled + emitted
    return dict(zip(STEPS, steps, strict=True))


def measured(size: Size, own: Path, rounds: int) -> Iterator[Ratio]:
    """Each step with the policies beside the same without them, which of the two first in turns."""
    without, beside = [str(cached(size))], [str(cached(size)), str(own)]
    found: list[tuple[dict[str, float], dict[str, float]]] = []
    for number in range(rounds + 1):
        say(f"{size.name}, round {number}")
        if number % 2:
            base, subject = one_round(without), one_round(beside)
        else:
            subject, base = one_round(beside), one_round(without)
        found.append((subject, base))
    for step in STEPS:  # the first round finds the caches of the machine empty
        pairs = tuple((subject[step], base[step]) for subject, base in found[1:])
        yield Ratio(f"{size.name}: {step}", "the same without", pairs, _TARGETS.get(step, ""))


@click.command()
@click.option("--rounds", default=ROUNDS, show_default=True, type=click.IntRange(1))
@click.option("--size", "name", default="M", show_default=True, type=click.Choice([*SIZES]))
@click.option("--policies", "count", default=POLICIES, show_default=True, type=click.IntRange(1))
def main(rounds: int, name: str, count: int) -> None:
    """Print what cluster-scoped policies cost, as a Markdown table."""
    print(f"{machine()}\n\n{HEADER}")
    with tempfile.TemporaryDirectory() as folder:
        own = written(SIZES[name], Path(folder), count)
        for ratio in measured(SIZES[name], own, rounds):
            print(ratio.row(), flush=True)


if __name__ == "__main__":
    main()
