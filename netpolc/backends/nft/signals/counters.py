"""What a table counted, mapped back to policies and pods.

Comes in: counters of chains and of local addresses as `rollout` reads them, and a Program where
there is one. Goes out: `ChainCount` and `PodCount` values, and the same as Prometheus' text format.

A chain stands for a combination of policies, or for one rule of an ordered tier, so its counter
tells which policies denied; the counter of an address tells whose packets they were. Both count
only on the way to a denial. A chain that only asks ordered tiers has no counter, as its rules do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netpolc.backends.nft.names import PENDING, UNKNOWN, naming
from netpolc.backends.nft.signals.drops import Drops
from netpolc.core.foreign import prometheus_label
from netpolc.core.ir import Direction, Tier
from netpolc.core.nets import format_address
from netpolc.core.program import Program

UNKNOWN_POD = "unknown"
"""Stands for a pod of a bridge by an address that no pod has."""


@dataclass(frozen=True, slots=True)
class AddressCounter:
    """The counter of one local address in one direction, and the chain that judges it there."""

    direction: str
    address: int
    chain: str
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ChainCount:
    """What one chain counted; `pods` are those it judges, by address where unknown."""

    chain: str
    direction: str
    audited: bool
    packets: int
    bytes: int
    policies: tuple[str, ...]
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PodCount:
    """What was counted for one pod in one direction; an unknown one is named by its address."""

    pod: str
    direction: str
    audited: bool
    packets: int
    bytes: int
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """All counters of one table, those of chains by direction, those of pods by name.

    `invalid` are packets of no connection that no rule admits: dropped, and no denials.
    """

    table: str
    chains: tuple[ChainCount, ...]
    pods: tuple[PodCount, ...]
    odd: tuple[str, ...] = ()
    """What the table says of objects that are not enforced as they were written."""
    invalid: int = 0


def attribute_counters(
    table: str,
    drops: Iterable[Drops],
    addresses: Iterable[AddressCounter],
    program: Program | None = None,
    odd: tuple[str, ...] = (),
    invalid: int = 0,
) -> Counters:
    """The counters of a table with the pods, and of a Program the policies the comments cut.

    What is loaded may be older than the Program: chains and addresses are believed as loaded, and
    the Program only names them.
    """
    pods = program.pods_by_address if program is not None else {}
    cut = _all_policies(program) if program is not None else {}
    drops = tuple(drops)
    judged: dict[str, dict[str, list[AddressCounter]]] = {}
    for own in addresses:
        pod = pods.get(own.address)
        name = pod.key if pod is not None else format_address(own.address)
        judged.setdefault(own.chain, {}).setdefault(name, []).append(own)
    by_chain, by_pod = [], []
    nobodys = {*UNKNOWN.values(), *PENDING.values()}
    for drop in sorted(drops, key=lambda own: (own.direction, own.chain)):
        head = drop.direction, drop.audited
        policies = cut.get(drop.policies) or tuple(drop.policies.split(", "))
        subjects = judged.get(drop.chain, {})
        names = tuple(sorted(subjects))
        by_chain.append(ChainCount(drop.chain, *head, drop.packets, drop.bytes, policies, names))
        if drop.chain in nobodys:
            count = PodCount(UNKNOWN_POD, *head, drop.packets, drop.bytes, policies)
            by_pod.append(count)
        by_pod += _pod_counts(subjects, *head, policies)
    whole = bool(drops) and all(drop.audited for drop in drops)
    for chain in sorted(judged.keys() - {drop.chain for drop in drops}):
        direction = "ingress" if chain.startswith("i") else "egress"
        for name, own_counters in judged[chain].items():
            asking, tried = _asking(program, direction, own_counters[0].address)
            by_pod += _pod_counts({name: own_counters}, direction, whole or tried, asking)
    by_pod.sort(key=lambda own: (own.pod, own.direction))
    return Counters(table, tuple(by_chain), tuple(by_pod), odd, invalid)


def _pod_counts(
    subjects: Mapping[str, list[AddressCounter]],
    direction: str,
    audited: bool,
    policies: tuple[str, ...],
) -> Iterator[PodCount]:
    for name, counters in subjects.items():
        packets = sum(own.packets for own in counters)
        size = sum(own.bytes for own in counters)
        yield PodCount(name, direction, audited, packets, size, policies)


def _asking(program: Program | None, direction: str, address: int) -> tuple[tuple[str, ...], bool]:
    """The policies that judge an address, and whether all of them only count; none where no pod is
    known to have it.
    """
    pod = program.pods_by_address.get(address) if program is not None else None
    if program is None or pod is None:
        return (), False
    key = Direction[direction.upper()], program.identity_of[pod.key]
    judging = program.combination_of.get(key) or program.tried_of.get(key)
    tiers = judging.tiers if judging is not None else ()
    return tuple(str(own) for tier in tiers for own in tier.policies), (
        key not in program.combination_of
    )


def _all_policies(program: Program) -> dict[str, tuple[str, ...]]:
    """The policies behind each comment; None of those behind two that were cut alike."""
    found: dict[str, tuple[str, ...]] = {}
    for combination in (*program.combinations, *program.tried):
        isolating = (tier for tier in combination.tiers if tier.tier is Tier.NETWORK_POLICY)
        origins = [own for tier in isolating for own in tier.policies]
        names = tuple(map(str, origins))
        if found.setdefault(naming(origins), names) != names:
            found[naming(origins)] = ()
    return found


@dataclass(frozen=True, slots=True)
class Rate:
    """A pod's count in one direction and how fast it grows, in packets a second."""

    count: PodCount
    per_second: float


def rates(before: Counters, after: Counters, seconds: float) -> tuple[Rate, ...]:
    """What was counted for each pod between two readings, the busiest first.

    A counter that became less began again, as the table was loaded anew.
    """
    known = {(own.pod, own.direction, own.audited): own.packets for own in before.pods}
    found = []
    for own in after.pods:
        base = known.get((own.pod, own.direction, own.audited), 0)
        new = own.packets - base if own.packets >= base else own.packets
        found.append(Rate(own, new / seconds))
    found.sort(key=lambda rate: (-rate.per_second, -rate.count.packets, rate.count.pod))
    return tuple(found)


# Prometheus
# ----------------------------------------------------------------------------------------------

_HELP = {
    "denied": "denied",
    "audited": "let through that audited policies, or a table in audit mode, would deny",
}


def prometheus(table: str, counters: Counters | None) -> str:
    """The counters in Prometheus' text exposition format 0.0.4, in a stable order.

    Of a table that is not loaded (None) there is but that fact.
    """
    lines = [
        "# HELP netpolc_loaded Whether the table is loaded.",
        "# TYPE netpolc_loaded gauge",
        f'netpolc_loaded{{table="{table}"}} {int(counters is not None)}',
        *((*_families(counters), *_odd(counters)) if counters is not None else ()),
    ]
    return "".join(f"{line}\n" for line in lines)


def _families(counters: Counters) -> Iterator[str]:
    of_none = "packets of no connection that no rule admits, which are dropped and no denials"
    invalid = [({"table": counters.table}, counters.invalid)]
    yield from _family("netpolc_invalid_packets_total", of_none, invalid)
    for kind, audited in ("denied", False), ("audited", True):
        for unit in "packets", "bytes":
            chains = (
                (_chain_labels(counters.table, own), getattr(own, unit))
                for own in counters.chains
                if own.audited is audited
            )
            yield from _family(f"netpolc_{kind}_{unit}_total", f"{unit} {_HELP[kind]}", chains)
            pods = (
                (_pod_labels(counters.table, own), getattr(own, unit))
                for own in counters.pods
                if own.audited is audited
            )
            text = f"{unit} {_HELP[kind]}, by pod"
            yield from _family(f"netpolc_pod_{kind}_{unit}_total", text, pods)


def _odd(counters: Counters) -> Iterator[str]:
    """How many odd objects there are, and each: its kind, name and what is done instead."""
    table = f'table="{counters.table}"'
    yield "# HELP netpolc_odd_objects Objects that are not enforced as they were written."
    yield "# TYPE netpolc_odd_objects gauge"
    yield f"netpolc_odd_objects{{{table}}} {len(counters.odd)}"
    if counters.odd:
        yield "# HELP netpolc_odd_object_info An odd object and what is done instead."
        yield "# TYPE netpolc_odd_object_info gauge"
    for told in counters.odd:
        name, _, treatment = told.partition(": ")
        labels = f'object="{prometheus_label(name)}",treatment="{prometheus_label(treatment)}"'
        yield f"netpolc_odd_object_info{{{table},{labels}}} 1"


def _chain_labels(table: str, own: ChainCount) -> dict[str, str]:
    return {
        "table": table,
        "direction": own.direction,
        "chain": own.chain,
        "policies": ",".join(own.policies),
    }


def _pod_labels(table: str, own: PodCount) -> dict[str, str]:
    namespace, _, name = own.pod.rpartition("/")
    return {"table": table, "direction": own.direction, "namespace": namespace, "pod": name}


def _family(name: str, text: str, samples: Iterable[tuple[dict[str, str], int]]) -> Iterator[str]:
    yield f"# HELP {name} {text[0].upper()}{text[1:]}."
    yield f"# TYPE {name} counter"
    for labels, value in samples:
        inside = ",".join(f'{key}="{prometheus_label(own)}"' for key, own in labels.items())
        yield f"{name}{{{inside}}} {value}"
