"""What an ordered tier costs beside NetworkPolicies alone, by the number of its rules.

In: a `Scenario`, numbers of rules. Out: rulesets of the same cluster with one Admin list for every
pod in both directions, as CPU time a packet and a load. A rule denies or accepts 200 pods, four
of five on a port of their own. Nobody who opens a connection is meant by a rule, so a packet is
asked after everything and decided by nothing; in one lane more everybody is, on other ports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from statistics import median

from msgspec import structs

from benches.dataplane.clusters import Scenario
from benches.dataplane.frames import Connection
from benches.dataplane.rulesets import EMPTY, NETPOLC, TRACKED
from benches.timing import timed
from benches.workloads import LOCAL_NODE
from netpolc.compiler import Program
from netpolc.core.ir import ANY, Action, Direction, Origin, Tier
from netpolc.core.nets import NOTHING, Protocol, Ranges, ports
from netpolc.core.program import Combination, Match, ResolvedRule, Stage
from tests.helpers.lab import Router

RULES = (5, 25, 100, 500)
PODS = 200
"""Pods a rule."""
FIRST_PORT = 20_000
"""Beyond the ports of any connection that is tried."""
AGAIN = f"{NETPOLC}, again"


class _Nowhere:
    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        """Nowhere."""
        return "nowhere"

    def excerpt(self, elements: Sequence[str | int] = ()) -> tuple[tuple[int, str], ...]:
        """None."""
        return ()


def lanes(scenario: Scenario) -> dict[str, Program]:
    """The programs by the names of their lanes."""
    program = scenario.program
    met = {*map(_source, scenario.allowed + scenario.denied)}
    met |= {*map(_destination, scenario.allowed + scenario.denied)}
    pods = program.pods_by_address
    known = {_packed(address): program.identity_of[pod.key] for address, pod in pods.items()}
    asked = {known[end] for end in met if end in known}
    others = [own.number for own in program.identities if own.number not in asked]
    found = {NETPOLC: program, AGAIN: program}
    for count in RULES:
        found[f"{count} rules"] = guarded(program, list(_rules(program, others, count)))
    most = list(_rules(program, others, RULES[-1]))
    found[f"{RULES[-1]} rules, ingress alone"] = guarded(program, most, (Direction.INGRESS,))
    hit = [_rule(n, frozenset(asked), port=FIRST_PORT + n) for n in range(3)]
    hit.append(_rule(3, frozenset(asked), action=Action.PASS))
    few = [*_rules(program, others, RULES[-2]), *hit]
    found[f"{RULES[-2]} rules; 3 more of other ports, then Pass"] = guarded(program, few)
    return found


def guarded(
    program: Program, rules: Sequence[ResolvedRule], directions: Iterable[Direction] = Direction
) -> Program:
    """The program with an Admin list before everything else, for every pod."""
    asked = tuple(directions)
    origin = Origin("ClusterNetworkPolicy", "", "guard", (), _Nowhere())
    stage = Stage.of(Tier.ADMIN, rules, Action.PASS, (origin,))
    made = [
        structs.replace(own, tiers=(stage, *own.tiers)) if own.direction in asked else own
        for own in program.combinations
    ]
    for direction in asked:
        judged = {n for own in made if own.direction is direction for n in own.subjects}
        free = frozenset(range(len(program.identities))) - judged
        if free:
            made.append(Combination(direction, free, (stage,)))
    return replace(program, combinations=tuple(made))


def _rules(program: Program, others: Sequence[int], count: int) -> Iterator[ResolvedRule]:
    drawn = cycle(others)
    for number in range(count):
        members: set[int] = set()
        pods = 0
        while pods < PODS and len(members) < len(others):
            own = next(drawn)
            members.add(own)
            pods += len(program.identities[own].pods)
        port = None if number % 5 == 4 else FIRST_PORT + number
        action = (Action.DENY, Action.ACCEPT)[number % 2]
        yield _rule(number, frozenset(members), action=action, port=port)


def _rule(
    number: int, members: frozenset[int], *, action: Action = Action.DENY, port: int | None = None
) -> ResolvedRule:
    field = ("spec", "ingress", number)
    origin = Origin("ClusterNetworkPolicy", "", "guard", field, _Nowhere())
    numbers = ANY if port is None else Ranges.of([ports(Protocol.TCP, port, port)])
    return ResolvedRule(Match(members, NOTHING, numbers), action, origin)


def _packed(address: int) -> bytes:
    return (address & (1 << 128) - 1).to_bytes(16 if address >> 128 else 4, "big")


def _source(own: Connection) -> bytes:
    return own.source


def _destination(own: Connection) -> bytes:
    return own.destination


def texts(scenario: Scenario) -> dict[str, str]:
    """What is loaded into each lane; the first has no rules."""
    programs = lanes(scenario)
    made = {name: own.ruleset(node=LOCAL_NODE).text() for name, own in programs.items()}
    return {EMPTY: TRACKED, **made}


def loads(several: dict[str, str], rounds: int) -> dict[str, float]:
    """The median CPU seconds of a load into an empty namespace, by lane."""
    times: dict[str, list[float]] = {name: [] for name in several if name != EMPTY}
    with Router() as router:
        for number in range(rounds):
            names = list(
                islice(cycle(times), number % len(times), number % len(times) + len(times))
            )
            for name in names:
                seconds, _ = timed(lambda text=several[name]: router.load(text))  # type: ignore[misc]
                router.flush()
                times[name].append(seconds)
    return {name: median(own) for name, own in times.items()}


def elements(text: str, maps: Iterable[str] = ("m4_", "m6_", "n4_", "n6_")) -> int:
    """How many elements the maps of tiers have."""
    found, inside = 0, False
    for line in text.splitlines():
        words = line.split()
        if line.startswith("\tmap "):
            inside = words[1].startswith(tuple(maps))
        elif line.startswith("\t}"):
            inside = False
        found += inside and " : " in line and not line.lstrip().startswith("typeof")
    return found
