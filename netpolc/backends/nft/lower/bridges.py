"""Chains for what a bridge carries between pods by addresses that no pod is known to have.

Comes in: the judges of a node's isolated pods, the addresses of all its pods, the options. Goes
out: sets, chains, counters, and the rule that leads there. br_netfilter shows the frames between
two ports of a bridge to the forward and the postrouting hook as IP packets, by whatever address
they travel: link-local ones, groups and broadcast, one that a pod gave itself. No map knows those,
and nothing tells which pod it is. So it is judged as one that could be any: what every pod of the
node that is isolated in that direction admits from anybody passes, everything else is denied.

- Link-local IPv6 addresses are never forwarded by a router (RFC 4291, section 2.5.6), so these
  frames are between neighbours on any bridge.
- Frames to a group or to broadcast are, if a known pod or a link-local address sends them.
- Between the ports of a pod bridge (`Options.pod_bridges`) every address counts that no pod of
  this node has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.denials import tail
from netpolc.backends.nft.lower.judge import Judge, JudgeBuilder
from netpolc.backends.nft.lower.sets import written_address
from netpolc.backends.nft.names import (
    BRIDGE_PORT,
    BRIDGED,
    POD_BRIDGES,
    UNKNOWN,
    UNKNOWN_DENIED,
    counter_name,
)
from netpolc.backends.nft.options import Options
from netpolc.core.ir import Direction
from netpolc.core.nets import (
    GROUPS,
    LINK_LOCAL,
    Family,
    Protocol,
    Ranges,
    family,
    ports,
    split_ports,
)

_POLICIES = "addresses of no pod"
_PORTLESS = ports(1)[0]
"""ICMP, which stands for all protocols without ports, on the port line."""
_FIELDS: dict[Direction, nft.Field] = {Direction.INGRESS: "daddr", Direction.EGRESS: "saddr"}


def enter(direction: Direction) -> nft.Rule:
    """The rule that leads to the chain of a direction."""
    verdict = nft.Verdict(nft.Action.JUMP, BRIDGED[direction])
    return nft.Rule((nft.OutOfBridge(),), (verdict,), "what a bridge delivers")


@dataclass(frozen=True, slots=True, eq=False)
class Bridged:
    """What a table needs for the frames of bridges."""

    sets: tuple[nft.NamedSet, ...]
    chains: tuple[nft.Chain, ...]
    counters: tuple[nft.Counter, ...]


def bridged(
    judges: Mapping[Direction, Iterable[Judge]],
    local: Iterable[int],
    builder: JudgeBuilder,
) -> Bridged:
    """The chains for a node with isolated pods; `judges` has every direction that is judged."""
    options = builder.options
    chains: list[nft.Chain] = []
    counters: list[nft.Counter] = []
    for direction, some in judges.items():
        own = list(some)
        # Where a pod is isolated for good, audited policies of others deny nothing more.
        enforced = [judge for judge in own if not judge.tried]
        audited = options.audit or not enforced
        chain = UNKNOWN[direction]
        admitted = _common(enforced or own)
        chains += _unknown_chains(builder, direction, admitted, audited)
        counters.append(nft.Counter(counter_name(chain, audited), _POLICIES))
    known = tuple(_known(local))
    names = [nft.LinkSet(POD_BRIDGES, options.pod_bridges)] if options.pod_bridges else []
    for direction in judges:
        chains.append(nft.Chain(BRIDGED[direction], tuple(_neighbours(direction, known, options))))
        if names:
            chains.append(_port_chain(direction, known))
    used = known if names or Direction.INGRESS in judges else ()
    return Bridged((*used, *names), tuple(chains), tuple(counters))


def _common(judges: Iterable[Judge]) -> Ranges:
    """The ports that all of some judges admit from anybody."""
    several = [judge.anybody for judge in judges]
    admitted = several[0]
    for own in several[1:]:
        admitted &= own
    return admitted


def _unknown_chains(
    builder: JudgeBuilder, direction: Direction, admitted: Ranges, audited: bool
) -> Iterator[nft.Chain]:
    """What judges by unknown addresses: a comparison for each range of ports that is admitted or,
    where protocols without ports are, for each that is denied.
    """
    name = UNKNOWN[direction]
    end = tail(builder.options, direction, name, _POLICIES, audited, nft.RETURN)
    if _PORTLESS not in admitted:
        admitting = _on_ports(admitted, nft.RETURN, "every isolated pod admits anybody")
        yield nft.Chain(name, (*admitting, *end))
        return
    denied = UNKNOWN_DENIED[direction]
    with_ports = Ranges.of(ports(protocol) for protocol in Protocol)
    verdict = nft.Verdict(nft.Action.GOTO, denied)
    yield nft.Chain(name, tuple(_on_ports(with_ports - admitted, verdict, "not from anybody")))
    yield nft.Chain(denied, end)


def _on_ports(some: Ranges, verdict: nft.Verdict, comment: str) -> Iterator[nft.Rule]:
    for span in some:
        yield nft.Rule((nft.PortMatch(*split_ports(span)),), (verdict,), comment)


def _known(local: Iterable[int]) -> Iterator[nft.AddressSet]:
    """The addresses of all pods of the node."""
    addresses = sorted({*local})
    for version in Family:
        elements = tuple(written_address(at) for at in addresses if family(at) is version)
        if elements:
            yield nft.AddressSet(f"local{version.value}", version, elements)


def _port_chain(direction: Direction, known: Iterable[nft.AddressSet]) -> nft.Chain:
    """Asks whether the address of a pod bridge's port is one that a pod has."""
    end = _FIELDS[direction]
    rules = [
        nft.Rule((nft.SetMatch(end, own.family, own.name, False),), (nft.RETURN,), "a known pod")
        for own in known
    ]
    rules.append(_unknown(direction, ()))
    return nft.Chain(BRIDGE_PORT[direction], tuple(rules))


def _unknown(direction: Direction, matches: tuple[nft.Match, ...]) -> nft.Rule:
    verdict = nft.Verdict(nft.Action.GOTO, UNKNOWN[direction])  # and be judged once
    return nft.Rule(matches, (verdict,), "a pod by an unknown address")


def _neighbours(
    direction: Direction, known: Iterable[nft.AddressSet], options: Options
) -> Iterator[nft.Rule]:
    """The rules that find the frames one end of which is a pod by an unknown address."""
    yield _unknown(direction, (nft.SpanMatch(_FIELDS[direction], LINK_LOCAL),))
    if direction is Direction.INGRESS:
        senders: list[tuple[Family, nft.Match]] = [
            (own.family, nft.SetMatch("saddr", own.family, own.name, False)) for own in known
        ]
        senders.append((Family.IPV6, nft.SpanMatch("saddr", LINK_LOCAL)))
        for version, sender in senders:
            yield _unknown(direction, (sender, nft.SpanMatch("daddr", GROUPS[version])))
    for ends in _ports(options):
        verdict = nft.Verdict(nft.Action.GOTO, BRIDGE_PORT[direction])
        yield nft.Rule(ends, (verdict,), "between pods of one bridge")


def _ports(options: Options) -> Iterator[tuple[nft.Match, ...]]:
    """What holds for a frame between two ports of a pod bridge."""
    if options.pod_bridges:
        leaves = nft.NamedLink("oifname", POD_BRIDGES)
        yield nft.NamedLink("iifname", POD_BRIDGES), leaves
        if options.hook == "postrouting":
            yield nft.NoInterface(), leaves
