"""Program: the resolved IR that every backend reads.

Comes in from the passes: identities instead of pods, numbers instead of names. An **identity** is
the set of pods that no policy tells apart: the same answer to every selector in use and the same
named ports. A `Match` is the (identity-set, CIDR-set, port-range) tuple. Identities with the same
policies in a direction share one `Combination`.

How a direction is judged is said once, for every tier: a `Combination` is a list of `Stage`s, a
`Stage` is a list of `Run`s with a default, a `Run` is rules with one action. A reader folds over
runs and stages and needs to ask neither for the tier nor for the kind of a policy.

`verify()` refuses a Program that breaks the invariants; the compiler calls it after the last pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, repeat
from operator import attrgetter, is_, lt
from typing import TypeVar

from msgspec import Struct

from netpolc.core.cluster import Cluster, ContainerPorts, Pod, Unread
from netpolc.core.foreign import html_table
from netpolc.core.ir import ANY, Action, Any_, Direction, NamedPort, Origin, PodPeer, Tier
from netpolc.core.nets import NOTHING, Protocol, Ranges

_T = TypeVar("_T")


class Identity(Struct, frozen=True, eq=False, gc=False):
    """Pods that no policy tells apart; `ports` are those named ports that a policy mentions.

    All pods of a `closed` one are closed: no selector means them.
    """

    number: int
    pods: tuple[Pod, ...]
    ports: ContainerPorts
    closed: bool = False


class Match(Struct, frozen=True, gc=False):
    """Traffic with a peer that is one of the identities or in one of the networks, on one of the
    ports.

    `identities` and `networks` are `ANY` together: anybody, known or not. `ports` are `ANY` for
    every protocol, ICMP included; otherwise spans of the port line (see `nets.ports`).
    """

    identities: frozenset[int] | Any_
    networks: Ranges | Any_
    ports: Ranges | Any_

    @property
    def is_empty(self) -> bool:
        """Whether it matches nothing, whatever the ports."""
        return not (self.identities is ANY or self.identities or self.networks)

    def has_port(self, protocol: int, port: int | None) -> bool:
        """Whether the ports include this one; protocols without ports are only in `ANY`."""
        return self.ports is ANY or (port is not None and (protocol << 16 | port) in self.ports)

    def has_peer(self, identity: int | None, address: int) -> bool:
        """Whether a peer, by its identity (None outside the cluster) and address, is included."""
        if self.identities is ANY or self.networks is ANY:
            return True
        return identity in self.identities or address in self.networks


class Question(Struct, frozen=True, gc=False):
    """What a rule asks for to get its identities: it stays while the policy does, whoever the
    answer is.

    Within a Program equal questions have equal answers. `numbers` are those behind the names
    `named`, where an egress rule names ports: only peers with just these are meant, and `networks`
    hold pods that are peers by address. With `rest_of` only those are meant that no rule before
    this one of its policy has asked for by these names (`passes/resolve.py` says when).
    """

    peers: tuple[PodPeer, ...] | Any_
    named: tuple[NamedPort, ...] = ()
    numbers: Ranges = NOTHING
    networks: Ranges = NOTHING
    rest_of: Origin | None = None


class ResolvedRule(Struct, frozen=True, eq=False, gc=False):
    """What happens to matching traffic, and the rule of the policy that says so.

    `question` is None in programs that were not made from policies.
    """

    match: Match
    action: Action
    origin: Origin
    question: Question | None = None


class Run(Struct, frozen=True, eq=False, gc=False):
    """Rules of one action that follow each other: whichever matches, the same is done, so their
    order means nothing and they may be laid out as a union.
    """

    action: Action
    rules: tuple[ResolvedRule, ...]


def runs_of(rules: Iterable[ResolvedRule]) -> tuple[Run, ...]:
    """Rules in order as runs: adjacent ones with one action become one."""
    return tuple([Run(action, tuple(own)) for action, own in groupby(rules, key=_action)])


def joined_runs(several: Iterable[tuple[Run, ...]]) -> tuple[Run, ...]:
    """Runs behind each other, as of all their rules; those inside stay the same objects."""
    found: list[Run] = []
    for runs in several:
        if found and runs and found[-1].action is runs[0].action:
            found[-1] = Run(runs[0].action, found[-1].rules + runs[0].rules)
            found += runs[1:]
        else:
            found += runs
    return tuple(found)


class Stage(Struct, frozen=True, eq=False, dict=True):
    """What one tier says of some subjects: runs in order, of which the first with a match decides.

    `default` applies when none matches: DENY for pods that a NetworkPolicy isolates, PASS
    otherwise. PASS, of a run or by default, hands on to the next stage. NETWORK_POLICY is one run
    that accepts; ADMIN and BASELINE (ordered tiers) have a run wherever the action changes.
    `policies` are those that make the stage what it is: in NETWORK_POLICY those that isolate.
    `unanswered` are rules of NETWORK_POLICY that match nothing, each behind the number of `rules`
    before it: nobody answers their question now, and a pod that comes may. Only who wants to be
    ready for that pod has to look at them. `named` are the subjects' ports behind names that rules
    of an ordered tier ask for: to subjects with others the same policies say something else.
    """

    tier: Tier
    runs: tuple[Run, ...]
    default: Action
    policies: tuple[Origin, ...]
    unanswered: tuple[tuple[int, ResolvedRule], ...] = ()
    named: ContainerPorts = ()

    @classmethod
    def of(
        cls,
        tier: Tier,
        rules: Iterable[ResolvedRule],
        default: Action,
        policies: tuple[Origin, ...],
        named: ContainerPorts = (),
    ) -> Stage:
        """A stage of rules in order: adjacent ones with one action become a run."""
        return cls(tier, runs_of(rules), default, policies, named=named)

    @cached_property
    def rules(self) -> tuple[ResolvedRule, ...]:
        """The rules of all runs, in order."""
        if len(self.runs) == 1:
            return self.runs[0].rules
        return tuple(rule for run in self.runs for rule in run.rules)

    @property
    def questions(self) -> tuple[ResolvedRule, ...]:
        """`rules` in order, and among them those that nobody answers."""
        if not self.unanswered:
            return self.rules
        found, start = list[ResolvedRule](), 0
        for place, rule in self.unanswered:
            found += self.rules[start:place]
            found.append(rule)
            start = place
        return (*found, *self.rules[start:])


_action, _match = attrgetter("action"), attrgetter("match")
_runs, _rules = attrgetter("runs"), attrgetter("rules")


class Combination(Struct, frozen=True, eq=False, gc=False):
    """What judges its subjects in one direction: a stage for each tier that says anything, in
    order. What all of them pass is accepted.
    """

    direction: Direction
    subjects: frozenset[int]
    tiers: tuple[Stage, ...]

    @property
    def isolates(self) -> bool:
        """Whether a NetworkPolicy isolates the subjects: what no stage accepts is then denied."""
        return any(stage.default is Action.DENY for stage in self.tiers)


class InvariantError(AssertionError):
    """A pass produced a Program that must not exist: a bug in netpolc."""


@dataclass(frozen=True, eq=False)
class Program:
    """The meaning of a snapshot: who is who, what judges whom. Others are open.

    `tried` judges nothing: it holds what all policies would make, audited ones too, of identities
    to which those could deny more. `odd` says which objects are not enforced as they were written,
    `unread` which policies are of kinds that are not judged.
    """

    cluster: Cluster
    identities: tuple[Identity, ...]
    combinations: tuple[Combination, ...]
    tried: tuple[Combination, ...] = ()
    odd: tuple[str, ...] = ()
    unread: tuple[Unread, ...] = ()

    def __repr__(self) -> str:
        pods = sum(len(own.pods) for own in self.identities)
        return (
            f"<Program pods={pods} identities={len(self.identities)} "
            f"combinations={len(self.combinations)}>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: the identities, and by how many rules each is judged."""
        rules = {
            key: f"{sum(len(stage.rules) for stage in own.tiers)} rules"
            for key, own in self.combination_of.items()
        }
        rows = (
            (
                len(own.pods),
                own.pods[0].key if own.pods else "",
                *(rules.get((direction, own.number), "not judged") for direction in Direction),
            )
            for own in self.identities
        )
        return html_table(repr(self), ("pods", "one of them", *map(str, Direction)), rows)

    @cached_property
    def identity_of(self) -> dict[str, int]:
        """Identity by pod key (`namespace/name`)."""
        return {pod.key: own.number for own in self.identities for pod in own.pods}

    @cached_property
    def pods_by_key(self) -> dict[str, Pod]:
        """Every pod that can be judged by its key (`namespace/name`), hostNetwork pods left out."""
        return {pod.key: pod for own in self.identities for pod in own.pods}

    @cached_property
    def matches(self) -> tuple[Match, ...]:
        """What the rules match, each once: many rules may share one."""
        rules = (rule for own in self.combinations for tier in own.tiers for rule in tier.rules)
        return tuple({id(rule.match): rule.match for rule in rules}.values())

    @cached_property
    def pods_by_address(self) -> dict[int, Pod]:
        """The pod behind each address; nodes and hostNetwork pods are not pods here."""
        return {
            address: pod for own in self.identities for pod in own.pods for address in pod.addresses
        }

    @cached_property
    def combination_of(self) -> dict[tuple[Direction, int], Combination]:
        """The combination that judges an identity in a direction; absent means not isolated."""
        return {(c.direction, subject): c for c in self.combinations for subject in c.subjects}

    @cached_property
    def tried_of(self) -> dict[tuple[Direction, int], Combination]:
        """What would judge an identity in a direction, if audited policies were enforced."""
        return {(c.direction, subject): c for c in self.tried for subject in c.subjects}

    @cached_property
    def is_ordered(self) -> bool:
        """Whether there is a policy of an ordered tier."""
        return any(
            stage.tier is not Tier.NETWORK_POLICY
            for own in (*self.combinations, *self.tried)
            for stage in own.tiers
        )

    def verify(self) -> None:
        """Raise `InvariantError` unless every invariant holds."""
        numbers = [own.number for own in self.identities]
        _require(numbers == list(range(len(numbers))), "identities are numbered in order")
        everyone = frozenset(numbers)  # the very objects that are in the sets, mostly
        _verify_combinations(self.combinations, everyone)
        _verify_combinations(self.tried, everyone)
        _verify_stages(
            {own for c in (*self.combinations, *self.tried) for own in c.tiers}, everyone
        )
        for key, tried in self.tried_of.items():
            isolated = key in self.combination_of and self.combination_of[key].isolates
            ordered = any(stage.tier is not Tier.NETWORK_POLICY for stage in tried.tiers)
            _require(ordered or not isolated, "what is isolated is not tried")


def _verify_combinations(combinations: tuple[Combination, ...], everyone: frozenset[int]) -> None:
    seen: dict[Direction, set[int]] = {direction: set() for direction in Direction}
    for combination in combinations:
        own, subjects = seen[combination.direction], combination.subjects
        once = bool(subjects) and own.isdisjoint(subjects)
        _require(once, "one combination per identity and direction")
        _require(subjects <= everyone, "subjects exist")
        own |= subjects
        tiers = [stage.tier for stage in combination.tiers]
        in_order = bool(tiers) and all(map(lt, tiers, tiers[1:]))
        _require(in_order, "tiers are in order")


def _verify_stages(stages: set[Stage], everyone: frozenset[int]) -> None:
    """Each object once, however many share it: those that are no values are equal by identity."""
    for stage in stages:
        own = stage.runs
        if stage.tier is Tier.NETWORK_POLICY:
            accepts = not own or (len(own) == 1 and own[0].action is Action.ACCEPT)
            _require(accepts, "NetworkPolicy only accepts")
        else:
            actions = list(map(_action, own))
            _require(not any(map(is_, actions, actions[1:])), "runs differ in action")
        if stage.unanswered:
            empty = all(rule.match.is_empty for _, rule in stage.unanswered)
            _require(empty, "no answer is no match")
    runs = list(set(chain.from_iterable(map(_runs, stages))))
    several = list(map(_rules, runs))
    _require(all(several), "runs have rules")
    said = chain.from_iterable(map(repeat, map(_action, runs), map(len, several)))
    rules = list(chain.from_iterable(several))
    _require(all(map(is_, map(_action, rules), said)), "a run has one action")
    _verify_matches(list(map(_match, set(rules))), everyone)


def _verify_matches(matches: list[Match], everyone: frozenset[int]) -> None:
    peers = [match.identities for match in matches]
    blocks = [match.networks for match in matches]
    anybody = [own is ANY for own in peers]
    _require(anybody == [own is ANY for own in blocks], "any peer is any address")
    exist = all(own is ANY or own <= everyone for own in _once(peers))
    _require(exist, "peers exist")
    canonical = all(own is ANY or _canonical(own) for own in _once(blocks))
    _require(canonical, "networks are canonical")
    services = _once([match.ports for match in matches])
    _require(all(own is ANY or _canonical_ports(own) for own in services), "ports are canonical")


def _once(several: list[_T]) -> Iterable[_T]:
    """Each object once: to tell large ones apart by what they hold would cost more."""
    return dict(zip(map(id, several), several, strict=True)).values()


def _canonical(ranges: Ranges) -> bool:
    end = None
    for first, last in ranges.spans:
        if first > last or (end is not None and first <= end + 1):
            return False
        end = last
    return True


_PROTOCOLS = frozenset(map(int, Protocol))


def _canonical_ports(ranges: Ranges) -> bool:
    for first, last in ranges.spans:
        if first >> 16 != last >> 16 or first >> 16 not in _PROTOCOLS:
            return False
    return _canonical(ranges)


def _require(condition: bool, invariant: str) -> None:
    if not condition:
        raise InvariantError(invariant)
