"""Names of sets: from what policies ask, not from who the answer is.

Comes in: a Program. Goes out: a text for each set of identities, equal for as long as the policies
are, so that a pod that comes or goes changes the members of a set and not its name; a name from
members would change every chain that refers to it. Refused: a text that would name two different
sets of identities (`InvariantError`), for the members of one would pass as those of the other.

Sets are shared by content: of several questions with one answer the first in order of text names
it. A Program without questions names by members.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property

from netpolc.core.ir import ANY, PodPeer, Requirement, Selector
from netpolc.core.labels import Members
from netpolc.core.program import InvariantError, Program, Question, ResolvedRule


class Questions:
    """What the rules of a Program ask."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._texts: dict[Members, str] = {}
        self._members: dict[str, Members] = {}

    def of(self, several: Iterable[Members]) -> str:
        """Names the union of some sets of identities."""
        return " | ".join(sorted(map(self._one, several)))

    def of_rule(self, rule: ResolvedRule) -> str:
        """Names the peers of one rule that are pods."""
        identities = rule.match.identities
        if identities is ANY:
            return "anybody"
        return self._one(identities) if rule.question is None else _text(rule.question)

    def _one(self, members: Members) -> str:
        known = self._texts.get(members)
        if known is None:
            asking = self._asking.get(members)
            # Of equal questions one is put into words; to hash all of other nodes would cost more.
            known = min(map(_text, {*asking})) if asking else self._addresses(members)
            if self._members.setdefault(known, members) != members:
                raise InvariantError(f"{known!r} is asked once and answered twice")
            self._texts[members] = known
        return known

    @cached_property
    def _asking(self) -> dict[Members, list[Question]]:
        found: dict[Members, list[Question]] = {}
        for rule in _rules(self._program):
            identities = rule.match.identities
            if rule.question is not None and identities is not ANY and identities:
                found.setdefault(identities, []).append(rule.question)
        return found

    def _addresses(self, members: Members) -> str:
        identities = self._program.identities
        pods = (pod for number in members for pod in identities[number].pods)
        return f"pods {sorted(address for pod in pods for address in pod.addresses)}"


def _rules(program: Program) -> Iterator[ResolvedRule]:
    """Every rule once: combinations share them."""
    rules = (
        rule
        for combination in (*program.combinations, *program.tried)
        for tier in combination.tiers
        for rule in tier.rules
    )
    return iter({id(rule): rule for rule in rules}.values())


def _text(question: Question) -> str:
    peers = "any" if question.peers is ANY else " | ".join(sorted({*map(_peer, question.peers)}))
    if not question.named:
        return peers
    names = sorted(f"{port.protocol.name}/{port.name}" for port in question.named)
    within = f" | in {question.networks.spans}" if question.networks else ""
    return f"{peers}{within} with {','.join(names)} = {question.numbers.spans}"


def _peer(peer: PodPeer) -> str:
    # repr, because names may hold what separates here.
    within = peer.namespaces
    where = repr(within) if isinstance(within, str) else _selector(within)
    return f"{where}/{_selector(peer.pods)}"


def _selector(selector: Selector) -> str:
    return f"[{', '.join(sorted(map(_requirement, selector.requirements)))}]"


def _requirement(requirement: Requirement) -> str:
    values = sorted(requirement.values)
    return f"{requirement.key!r} {requirement.operator.value} {values!r}"
