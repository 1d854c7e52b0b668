"""The end of every judging chain: what becomes of packets that no rule admits, and how they count.
And what is denied though no policy isolates it: addresses of the node's pods that nobody has yet.

Comes in: a chain's name and the options; the blocks of the node's pods, the addresses of its pods
and its own. Goes out: the last rules of a chain; sets, chains and counters of such addresses, and
the rules that lead there. Nothing is refused (`Options.pending_blocks` has refused what it does not
know).

A pod has its address before the API server says so, and may send before its policies are known.
The rules for that stand behind the maps of isolated pods, so that packets of these never meet them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.names import (
    END,
    EXEMPT,
    INVALID,
    PENDING,
    counter_name,
    known_set,
    log_prefix,
)
from netpolc.backends.nft.options import Options
from netpolc.core.cluster import Cluster
from netpolc.core.ir import Direction
from netpolc.core.nets import NOTHING, PORTS, Family, Protocol, Ranges, family, format_address

_SAID = "addresses that no pod is known to have yet"
_FIELDS: dict[Direction, nft.Field] = {Direction.INGRESS: "daddr", Direction.EGRESS: "saddr"}


def tail(
    options: Options,
    direction: Direction,
    chain: str,
    policies: str,
    audited: bool,
    admitted: nft.Verdict,
    *,
    end: str = "",
    told: str = "",
) -> tuple[nft.Rule, ...]:
    """The end of a judging chain: exemptions, log, and the counted denial (or, if audited,
    what admission does).

    `end` is the chain of the exemptions, `told` what the log says beside the chain. What is invalid
    is no denial, and never logged or answered. Answered is only what would have begun a connection:
    a reset for another segment would end one that is allowed.
    """
    jump = nft.Verdict(nft.Action.JUMP, end or END[direction])
    invalid = nft.Count(INVALID), admitted if audited else nft.DROP
    rules = [
        nft.Rule((), (jump,), "exemptions, then the counter of the pod"),
        nft.Rule((nft.ConnectionState((INVALID,)),), invalid, "of no connection"),
    ]
    rate = options.audit_rate if audited else options.log
    if rate is not None:
        prefix = log_prefix(direction, chain, audited, told)
        rules.append(nft.Rule((), (nft.Log(prefix, rate),), policies))
    count = nft.Count(counter_name(chain, audited))
    if audited:
        rules.append(nft.Rule((), (count, admitted), policies))
    elif options.deny == "drop":
        rules.append(nft.Rule((), (count, nft.DROP), policies))
    else:
        new = nft.ConnectionState(("new",))
        tcp = nft.PortMatch(Protocol.TCP, 0, PORTS - 1)
        drop = count, nft.DROP
        rules += [
            nft.Rule((nft.Acknowledges(),), drop, policies),
            nft.Rule((new, tcp), (count, nft.Reject(tcp_reset=True)), policies),
            nft.Rule((new,), (count, nft.Reject(tcp_reset=False)), policies),
            nft.Rule((), drop, policies),
        ]
    return tuple(rules)


@dataclass(frozen=True, slots=True, eq=False)
class PendingDenials:
    """What a table needs for that; all of it is empty where such addresses are let pass."""

    sets: tuple[nft.AddressSet, ...] = ()
    chains: tuple[nft.Chain, ...] = ()
    counters: tuple[nft.Counter, ...] = ()
    blocks: Ranges = NOTHING

    def enter(self, direction: Direction) -> tuple[nft.Rule, ...]:
        """The rules that lead to the chain of a direction."""
        verdict = nft.Verdict(nft.Action.JUMP, PENDING[direction])
        return tuple(
            nft.Rule(
                (nft.SpanMatch(_FIELDS[direction], span),), (verdict,), "for pods of this node"
            )
            for span in self.blocks
        )


def pending_denials(
    options: Options, cluster: Cluster, node: str | None, local: Iterable[int]
) -> PendingDenials:
    """The chains for a node; `local` are the addresses of its pods. `UsageError` where the blocks
    are not known.
    """
    blocks = options.pending_blocks(cluster, node)
    if not blocks:
        return PendingDenials()
    known = {*local, *_own(cluster, node)}
    sets = tuple(
        nft.AddressSet(known_set(version), version, tuple(map(format_address, sorted(own))))
        for version in Family
        if (own := [at for at in known if family(at) is version])
    )
    chains = tuple(nft.Chain(PENDING[own], tuple(_rules(own, sets, options))) for own in Direction)
    counters = tuple(
        nft.Counter(counter_name(PENDING[own], audited=False), _SAID) for own in Direction
    )
    return PendingDenials(sets, chains, counters, blocks)


def _own(cluster: Cluster, node: str | None) -> Iterator[int]:
    """The addresses of the node itself: a bridge of pods has one in their block."""
    if node is not None:
        yield from cluster.nodes[node].addresses
        for pod in cluster.pods:
            if pod.node == node:
                yield from pod.host_addresses


def _rules(
    direction: Direction, sets: Iterable[nft.AddressSet], options: Options
) -> Iterator[nft.Rule]:
    for own in sets:
        known = nft.SetMatch(_FIELDS[direction], own.family, own.name, False)
        yield nft.Rule((known,), (nft.RETURN,), "a known pod")
    chain = PENDING[direction]
    yield nft.Rule((), (nft.Verdict(nft.Action.JUMP, EXEMPT),), "never judged")
    invalid = nft.ConnectionState((INVALID,))
    yield nft.Rule((invalid,), (nft.Count(INVALID), nft.DROP), "of no connection")
    if options.log is not None:
        yield nft.Rule((), (nft.Log(log_prefix(direction, chain, False), options.log),), _SAID)
    # Never answered: what waits is sent again, what is refused may give up.
    count = nft.Count(counter_name(chain, audited=False))
    yield nft.Rule((), (count, nft.DROP), _SAID)
