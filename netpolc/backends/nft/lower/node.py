"""Lowers a Program to the table of one node.

Comes in: a Program, a node (None: every pod is local) and options. Goes out: its `Table`. Refused:
unknown nodes.

The shape, with the reasons in docs/internals/ruleset.md: the base chain accepts known connections,
then sends packets of isolated local pods to the chain of their combination, egress by source and
ingress by destination. In a chain the port comes first, then the peers. An egress chain that admits
goes on to the chain `ingress`; every chain ends in `exempt` (a pod with itself, neighbour
discovery), the counter of the pod, the log, and a named counter on the drop. Pods that only audited
policies isolate have such chains, too, which let pass what they count. With `--established recheck`
only flows that were judged under this ruleset are known connections; replies of others are judged
by mirrored chains (`replies.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

from msgspec import structs

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.lower.bridges import bridged, enter
from netpolc.backends.nft.lower.denials import PendingDenials, pending_denials
from netpolc.backends.nft.lower.facts import Dependencies
from netpolc.backends.nft.lower.judge import Judge, JudgeBuilder, Matter
from netpolc.backends.nft.lower.replies import Mirror
from netpolc.backends.nft.lower.sets import denied_sets, pair_sets, written_address
from netpolc.backends.nft.names import (
    END,
    EXEMPT,
    INGRESS,
    INGRESS_BASE,
    INVALID,
    REMEMBER,
    REPLY,
    RULE_END,
    chain_map,
    denied_set,
    twin,
)
from netpolc.backends.nft.options import Options
from netpolc.core.cluster import Pod
from netpolc.core.errors import UsageError, listing
from netpolc.core.ir import DIRECTIONS, Direction
from netpolc.core.nets import FAMILIES, Family, family
from netpolc.core.program import Program

_MIRROR = Mirror(kept=(EXEMPT, REMEMBER))
_KNOWN_STATES = nft.ConnectionState(("established", "related"))
_FIELDS: dict[Direction, nft.Field] = {Direction.INGRESS: "daddr", Direction.EGRESS: "saddr"}


@dataclass(slots=True)
class _Dispatch:
    """The maps from local addresses to chains, and the objects behind them."""

    verdicts: dict[tuple[Direction, Family], dict[int, nft.Verdict]] = field(default_factory=dict)
    judges: dict[str, Judge] = field(default_factory=dict)
    directions: dict[Direction, dict[str, Judge]] = field(default_factory=dict)
    local: list[int] = field(default_factory=list)
    pairs: set[tuple[int, int]] = field(default_factory=set)


class Lowering:
    """Lowers nodes of one Program; chains and sets are built once and shared by all nodes."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._builders: dict[tuple[Options, bool], JudgeBuilder] = {}

    @cached_property
    def _pods_by_node(self) -> dict[str, list[tuple[Pod, int]]]:
        found: defaultdict[str, list[tuple[Pod, int]]] = defaultdict(list)
        for own in self._program.identities:
            number = own.number
            for pod in own.pods:
                if pod.addresses:
                    found[pod.node].append((pod, number))
        return dict(found)

    def of_same_pods(self, program: Program) -> Lowering:
        """That of another Program of the same identities, which shares what was built of the first:
        all rules of either have to be kept, for they are known by their ids.
        """
        other = Lowering(program)
        other._builders = self._builders
        return other

    def table(self, node: str | None, options: Options) -> nft.Table:
        """The table of one node."""
        return self.table_of(list(self.local_pods(node)), node, options)

    def table_of(
        self, pods: Collection[tuple[Pod, int]], node: str | None, options: Options
    ) -> nft.Table:
        """The table of a node with these pods, each with its identity."""
        split = self._is_split(pods, options)
        builder = self._builder(options, split)
        dispatch = self._dispatch(pods, builder)
        judges = list(_with_tried(dispatch.judges[name] for name in sorted(dispatch.judges)))
        tiers = builder.tiers(judges)
        sets = {entry.name: entry for judge in judges for entry in judge.sets}
        maps: dict[str, nft.NamedMap] = {
            entry.name: entry for judge in judges for entry in judge.maps
        }
        by_address = _address_maps(dispatch)
        maps.update(by_address)
        chains = {chain.name: chain for judge in judges for chain in judge.chains}
        found = [judge.counter for judge in judges if judge.counter is not None]
        for tier in tiers:
            sets.update({entry.name: entry for entry in tier.sets})
            maps.update({entry.name: entry for entry in tier.maps})
            chains.update({chain.name: chain for chain in tier.chains})
            found += tier.counters
        counters = list({own.name: own for own in found}.values())
        waiting = pending_denials(options, self._program.cluster, node, dispatch.local)
        counters += waiting.counters
        chains.update({chain.name: chain for chain in waiting.chains})
        pairs = pair_sets(dispatch.pairs, always=any(judge.then for judge in judges))
        denied = denied_sets(dispatch.verdicts, by_address)
        ends = tuple(_end_chains(denied, pairs if tiers else (), builder))
        fixed = _fixed_chains(maps, () if tiers else pairs, options, split, waiting)
        neighbours: tuple[nft.NamedSet, ...] = ()
        if judges:
            by_direction = {
                own: list(_with_tried(some.values()))
                for own, some in sorted(dispatch.directions.items())
            }
            frames = bridged(by_direction, dispatch.local, builder)
            neighbours = frames.sets
            chains.update({chain.name: chain for chain in frames.chains})
            counters += frames.counters
        if judges or waiting.chains:
            counters.append(nft.Counter(INVALID, "of no connection"))
        if options.recheck:
            twins = map(_MIRROR.chain, (*chains.values(), *ends))
            chains.update({twin.name: twin for twin in twins})
            maps.update({twin.name: twin for twin in map(_MIRROR.map, maps.values())})
        return nft.Table(
            options.table,
            tuple(counters),
            (*denied, *neighbours, *pairs, *waiting.sets, *(sets[name] for name in sorted(sets))),
            tuple(maps[name] for name in sorted(maps)),
            (*(chains[name] for name in sorted(chains)), *ends, *fixed),
        )

    def dependencies(self) -> list[Dependencies]:
        """What of the answers is in the tables so far, for each kind of options."""
        return [own.dependencies() for own in self._builders.values()]

    def local_pods(self, node: str | None) -> Iterable[tuple[Pod, int]]:
        """The pods with an address that a node judges, each with its identity; `UsageError` for an
        unknown node.
        """
        by_node = self._pods_by_node
        if node is None:
            return (entry for entries in by_node.values() for entry in entries)
        known = self._program.cluster.nodes
        if node not in known:
            text = f"known: {listing(known)}" if known else "the snapshot has no nodes"
            raise UsageError(f"unknown node {node!r}; {text}")
        # Whose node is not known is judged wherever it may be.
        return (*by_node.get(node, ()), *by_node.get("", ()))

    def _builder(self, options: Options, split: bool) -> JudgeBuilder:
        if (options, split) not in self._builders:
            admit = {
                Direction.INGRESS: _admitted(options),
                Direction.EGRESS: nft.ACCEPT if split else nft.Verdict(nft.Action.GOTO, INGRESS),
            }
            self._builders[options, split] = JudgeBuilder(self._program, options, admit)
        return self._builders[options, split]

    def _is_split(self, pods: Iterable[tuple[Pod, int]], options: Options) -> bool:
        """Whether ingress has a base chain of its own, so that no row of chains becomes too long:
        where what some pod's policies accept is tried by audited ones.
        """
        enforced, tried = self._program.combination_of, self._program.tried_of
        if not tried:
            return False
        case = self._builder(options, False).case
        keys = {(way, own) for _, own in pods for way in Direction} & tried.keys()
        found = (case(enforced.get(key), tried[key]) for key in keys)
        return any(own is not None and own.then is not None for own in found)

    def _dispatch(self, pods: Iterable[tuple[Pod, int]], builder: JudgeBuilder) -> _Dispatch:
        dispatch = _Dispatch()
        cases: dict[str, Matter] = {}
        families: dict[str, set[Family]] = {}
        alike: defaultdict[int, list[Pod]] = defaultdict(list)
        for pod, identity in pods:
            alike[identity].append(pod)
        for identity, several in alike.items():
            local = [address for pod in several for address in pod.addresses]
            dispatch.local += local
            by_family = [(own, [at for at in local if family(at) is own]) for own in FAMILIES]
            judged = False
            for direction, case in self._cases(identity, builder):
                judged, cases[case.name], verdict = True, case, _leading_to(case)
                for version, addresses in by_family:
                    if addresses:
                        families.setdefault(case.name, set()).add(version)
                        found = dispatch.verdicts.setdefault((direction, version), {})
                        found.update(dict.fromkeys(addresses, verdict))
            if judged:
                dispatch.pairs.update(own for pod in several for own in _pairs(pod.addresses))
        _judge(dispatch, builder, cases, families)
        return dispatch

    def _cases(self, identity: int, builder: JudgeBuilder) -> Iterator[tuple[Direction, Matter]]:
        """What is judged of an identity."""
        enforced, tried = self._program.combination_of, self._program.tried_of
        for direction in DIRECTIONS:
            key = direction, identity
            case = builder.case(enforced.get(key), tried.get(key))
            if case is not None:
                yield direction, case


def twin_of(entry: nft.AddressMap) -> nft.NamedMap:
    """What `--established recheck` has for a map."""
    return _MIRROR.map(entry)


def _pairs(addresses: tuple[int, ...]) -> Iterable[tuple[int, int]]:
    """Every address of a pod with every other, and itself."""
    if len(addresses) == 1:
        return ((*addresses, *addresses),)
    return product(addresses, addresses)


def _leading_to(case: Matter) -> nft.Verdict:
    """What sends packets to the chain of a case; from egress they come back, to be judged again."""
    is_last = case.way.direction is Direction.INGRESS
    return nft.Verdict(nft.Action.GOTO if is_last else nft.Action.JUMP, case.name)


def _end_chains(
    denied: tuple[nft.AddressSet, ...], pairs: tuple[nft.PairSet, ...], builder: JudgeBuilder
) -> Iterator[nft.Chain]:
    """What a packet meets before it is denied: exemptions, then the counter of its pod.

    With ordered tiers a pod with itself (`pairs`) is an exemption from NetworkPolicies alone:
    egress then goes on to ingress, whose tiers may deny it.
    """
    invalid = nft.Rule((nft.ConnectionState((INVALID,)),), (nft.RETURN,), "no denial")
    exempt = nft.Rule((), (nft.Verdict(nft.Action.JUMP, EXEMPT),), "never judged")
    for direction in Direction:
        counts = [
            nft.Rule((nft.SetMatch(_FIELDS[direction], own.family, own.name, False),), (), "by pod")
            for own in denied
            if own.name == denied_set(direction, own.family)
        ]
        if counts:
            itself = _itself(pairs, builder.admit(direction))
            yield nft.Chain(END[direction], (exempt, *itself, invalid, *counts))
            if pairs:
                yield nft.Chain(RULE_END[direction], (exempt, invalid, *counts))


def _judge(
    dispatch: _Dispatch,
    builder: JudgeBuilder,
    cases: Mapping[str, Matter],
    families: dict[str, set[Family]],
) -> None:
    """Make the judges of some cases, and of what is tried after them; `families` has those of the
    pods of each.
    """
    tried: dict[str, Matter] = {}
    for case in cases.values():
        if case.then is not None:
            tried[case.then.name] = case.then
            families.setdefault(case.then.name, set()).update(families[case.name])
    every = frozenset(version for own in families.values() for version in own)
    facts = builder.facts({**cases, **tried}.values(), every)
    then = {
        name: builder.judge(case, frozenset(families[name]), facts, None)
        for name, case in tried.items()
    }
    for name, case in cases.items():
        after = then[case.then.name] if case.then is not None else None
        judge = builder.judge(case, frozenset(families[name]), facts, after)
        dispatch.judges[name] = judge
        dispatch.directions.setdefault(case.way.direction, {})[name] = judge


def _with_tried(judges: Iterable[Judge]) -> Iterator[Judge]:
    """Some judges, each with the one that only counts what it accepts."""
    for judge in judges:
        yield judge
        if judge.then is not None:
            yield judge.then


def _itself(pairs: Iterable[nft.PairSet], verdict: nft.Verdict) -> Iterator[nft.Rule]:
    for pair in pairs:
        yield nft.Rule((nft.PairMatch(pair.family, pair.name),), (verdict,), "a pod with itself")


def _address_maps(dispatch: _Dispatch) -> dict[str, nft.AddressMap]:
    maps: dict[str, nft.AddressMap] = {}
    for (direction, version), verdicts in dispatch.verdicts.items():
        name = chain_map(direction, version)
        elements = tuple((written_address(at), verdicts[at]) for at in sorted(verdicts))
        maps[name] = nft.AddressMap(name, version, elements)
    return maps


def _fixed_chains(
    maps: dict[str, nft.NamedMap],
    pairs: tuple[nft.PairSet, ...],
    options: Options,
    split: bool,
    waiting: PendingDenials,
) -> tuple[nft.Chain, ...]:
    """`exempt`, `ingress` and the base chain, of `split` directions two; `pairs` are never
    judged.
    """
    if not maps and not waiting.chains:
        return (nft.Chain(options.hook, (), nft.Hook(options.hook, options.base_priority)),)
    exempt = list(_itself(pairs, nft.ACCEPT))
    exempt.append(
        nft.Rule((nft.OnLink(), nft.NeighbourDiscovery()), (nft.ACCEPT,), "neighbour discovery")
    )
    if options.hook == "postrouting":
        exempt.append(nft.Rule((nft.LocalSource(),), (nft.ACCEPT,), "the node to its own pods"))
    lookups = {
        direction: tuple(
            nft.Rule((), (nft.AddressLookup(_FIELDS[direction], version, name),), text)
            for version in Family
            if (name := chain_map(direction, version)) in maps
        )
        for direction, text in (
            (Direction.EGRESS, "local pods isolated for egress"),
            (Direction.INGRESS, "local pods isolated for ingress"),
        )
    }
    then_ingress = nft.Rule((), (nft.Verdict(nft.Action.GOTO, INGRESS),), "then ingress")
    neighbours = {
        own: (*waiting.enter(own), *((enter(own),) if lookups[own] else ())) for own in Direction
    }
    judged = (*lookups[Direction.EGRESS], *neighbours[Direction.EGRESS])
    if not split:
        judged = (*judged, then_ingress)
    admitted = nft.Rule((), (_admitted(options),), "not isolated for ingress")
    to_pods = (*lookups[Direction.INGRESS], *neighbours[Direction.INGRESS])
    ingress = nft.Chain(INGRESS, (*to_pods, admitted))
    hook = nft.Hook(options.hook, options.base_priority)
    bases = [nft.Chain(options.hook, (*_known(options, REPLY), *judged), hook)]
    if split:
        rules = (*_known(options, twin(INGRESS)), then_ingress)
        hook = nft.Hook(options.hook, options.second_priority)
        bases.append(nft.Chain(INGRESS_BASE, rules, hook))
    fixed = [nft.Chain(EXEMPT, tuple(exempt)), ingress]
    if options.recheck:
        replies = structs.replace(_MIRROR.chain(nft.Chain("", judged)), name=REPLY)
        fixed += [_MIRROR.chain(ingress), replies, _remember(options, split)]
    return (*fixed, *bases)


def _admitted(options: Options) -> nft.Verdict:
    """What ends the way of an admitted packet."""
    return nft.Verdict(nft.Action.GOTO, REMEMBER) if options.recheck else nft.ACCEPT


def _known(options: Options, replies: str) -> tuple[nft.Rule, ...]:
    """What is not judged any more: known connections or, with `recheck`, flows that this ruleset
    judged before; of the others replies go to a mirrored chain.
    """
    if not options.recheck:
        return (nft.Rule((_KNOWN_STATES,), (nft.ACCEPT,), "known connections"),)
    mark = nft.FlowMark(options.mark_mask, nft.NO_GENERATION)
    reply = (nft.ConnectionState(("established",)), nft.ReplyDirection())
    twins = (nft.Verdict(nft.Action.GOTO, replies),)
    return (
        nft.Rule((_KNOWN_STATES, mark), (nft.ACCEPT,), "flows that were judged by these policies"),
        nft.Rule(reply, twins, "replies are judged as their flow"),
    )


def _remember(options: Options, split: bool) -> nft.Chain:
    """Marks an admitted flow as judged, and accepts.

    A related packet (an ICMP error) is judged as itself, so it says nothing of its flow; nor does
    one that is never judged, which comes here where a base chain of its own judged egress.
    """
    own = nft.ConnectionState(("established", "new"))
    mark = nft.MarkFlow(options.mark_mask, nft.NO_GENERATION)
    rules = (
        nft.Rule((own,), (mark,), "judged by these policies"),
        nft.Rule((), (nft.ACCEPT,), "admitted"),
    )
    never = nft.Rule((), (nft.Verdict(nft.Action.JUMP, EXEMPT),), "never judged")
    return nft.Chain(REMEMBER, (never, *rules) if split else rules)
