"""What policies ask for, in words: names come from them, and not from who the answer is.

Comes in: a Program and its rules. Goes out: a `PodQuestion` for each question, whose text is equal
for as long as the policies are: a pod that comes or goes changes members of a set, not its name.
Refused: a text that would name two different answers (`InvariantError`), for the pods of one would
pass as those of the other.

Every question has a set of its own. To share one between questions with equal answers would save a
few sets, and every pod that only one of them selects would rename sets and rewrite chains. A
Program without questions names by members.
"""

from __future__ import annotations

from functools import lru_cache

from msgspec import Struct

from netpolc.core.ir import ANY, SELECT_ALL, Any_, PodPeer, Requirement, Selector
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import NOTHING, Family, Ranges
from netpolc.core.program import InvariantError, Program, Question, ResolvedRule


class PodQuestion(Struct, frozen=True, eq=False):
    """A question, once for all rules that ask it, and the pods that answer: identities, and those
    that are peers by their `addresses`.

    `blocks` says that there may be such addresses, whether there are some or not; `families`, which
    an answer can be of.
    """

    text: str
    peers: tuple[PodPeer, ...] | Any_ | None
    members: Members
    addresses: Ranges = NOTHING
    blocks: bool = False
    families: frozenset[Family] = frozenset(Family)

    def within(self, other: PodQuestion) -> bool:
        """Whether every pod that answers this answers `other`, and always will: its selectors have
        the same conditions and more. Who is there now says nothing, it changes with every pod.
        """
        if self.peers is None or other.peers is None or self.peers is ANY or other.peers is ANY:
            return False
        if not self.members <= other.members:
            return False
        same = frozenset(other.peers)
        return all(
            own in same or any(_narrows(own, wide) for wide in other.peers) for own in self.peers
        )


class Questions:
    """What the rules of a Program ask."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._of_rules: dict[int, PodQuestion | None] = {}
        self._asked: dict[Question | Members, PodQuestion] = {}
        self._texts: dict[str, PodQuestion] = {}

    @property
    def asked(self) -> dict[PodQuestion, Question]:
        """Every question so far, as rules ask it."""
        return {own: key for key, own in self._asked.items() if isinstance(key, Question)}

    def of(self, rule: ResolvedRule) -> PodQuestion | None:
        """What a rule asks; None when it asks for no pods, or for anybody."""
        key = id(rule)  # a Program keeps its rules, and to hash a question takes longer
        if key not in self._of_rules:
            self._of_rules[key] = self._made(rule)
        return self._of_rules[key]

    def line(self, rule: ResolvedRule) -> str:
        """What a rule says, in words that last as long as its policy and its subjects do: numbers
        that peers have behind names are left out.
        """
        match, question = rule.match, rule.question
        if question is not None and question.named:
            return f"{rule.origin} {_text(question, numbered=False)}"
        return f"{rule.origin} {match.ports} {match.networks} {self.of_rule(rule)}"

    def of_rule(self, rule: ResolvedRule) -> str:
        """Words for the peers of one rule that are pods."""
        identities = rule.match.identities
        if identities is ANY:
            return "anybody"
        asked = self.of(rule)
        if asked is not None:
            return asked.text
        return self._addresses(identities) if rule.question is None else _text(rule.question)

    def _made(self, rule: ResolvedRule) -> PodQuestion | None:
        match, question = rule.match, rule.question
        if match.identities is ANY or match.networks is ANY:
            return None
        if question is None:
            if not match.identities:
                return None
            return self._once(match.identities, match.identities)
        if not (question.peers is ANY or question.peers or question.networks):
            return None
        return self._once(question, match.identities, match.networks)

    def _once(
        self, key: Question | Members, members: Members, networks: Ranges = NOTHING
    ) -> PodQuestion:
        known = self._asked.get(key)
        if known is None:
            if isinstance(key, Question):
                known = _asked(key, members, networks)
            else:
                known = PodQuestion(self._addresses(members), None, members)
            known = self._asked[key] = self._texts.setdefault(known.text, known)
        answer = networks if known.blocks else NOTHING
        if known.members != members or known.addresses != answer:
            raise InvariantError(f"{known.text!r} is asked once and answered twice")
        return known

    def _addresses(self, members: Members) -> str:
        identities = self._program.identities
        pods = (pod for number in members for pod in identities[number].pods)
        return f"pods {sorted(address for pod in pods for address in pod.addresses)}"


def _asked(question: Question, members: Members, networks: Ranges) -> PodQuestion:
    text, peers = _text(question), None if question.named else question.peers
    if not question.networks:
        return PodQuestion(text, peers, members)
    families = frozenset(Family)
    if not question.peers:
        families = frozenset(own for own in Family if question.networks.of_family(own))
    return PodQuestion(text, peers, members, networks, blocks=True, families=families)


def everyone(several: tuple[PodQuestion, ...]) -> Members:
    """The identities that answer any of some questions."""
    return (
        several[0].members if len(several) == 1 else NONE.union(*(own.members for own in several))
    )


def _narrows(own: PodPeer, wide: PodPeer) -> bool:
    """Whether one peer is another with more conditions."""
    if wide.namespaces not in (own.namespaces, SELECT_ALL):
        if isinstance(own.namespaces, str) or isinstance(wide.namespaces, str):
            return False
        if not own.namespaces.requirements >= wide.namespaces.requirements:
            return False
    return own.pods.requirements >= wide.pods.requirements


def _text(question: Question, numbered: bool = True) -> str:
    peers = "any" if question.peers is ANY else " | ".join(sorted({*map(_peer, question.peers)}))
    if not question.named:
        return peers
    names = sorted(f"{port.protocol.name}/{port.name}" for port in question.named)
    within = f" | in {question.networks.spans}" if question.networks else ""
    rest = f" | rest of {question.rest_of}" if question.rest_of else ""
    numbers = f" = {question.numbers.spans}" if numbered else ""
    return f"{peers}{within}{rest} with {','.join(names)}{numbers}"


def _peer(peer: PodPeer) -> str:
    # repr, because names may hold what separates here.
    within = peer.namespaces
    where = repr(within) if isinstance(within, str) else _selector(within)
    return f"{where}/{_selector(peer.pods)}"


@lru_cache(1 << 12)
def _selector(selector: Selector) -> str:
    return f"[{', '.join(sorted(map(_requirement, selector.requirements)))}]"


def _requirement(requirement: Requirement) -> str:
    values = sorted(requirement.values)
    return f"{requirement.key!r} {requirement.operator.value} {values!r}"
