"""What a node was compiled from, and the Program that it is when one of its policies changes.

Comes in: a snapshot and a node, then policies one by one. Goes out: its Program and what was
lowered of it, in which only those keys are resolved again that a policy touches, by the passes that
compile a snapshot. Nothing is refused: `edit` says where that is not enough.

Who is who stays as it was. A policy may ask by every label and name that pods were told apart by,
as long as it tells no two of them apart that nobody did before: that more of them are told apart
than have to be is seen in no ruleset. What pods did since is not known here (`compiled.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from functools import cached_property

from msgspec import structs

from netpolc.backends.nft.lower.node import Lowering
from netpolc.backends.nft.write.owners import Owners, Shared, note_of, peers_admitted
from netpolc.backends.nft.write.pieces import Pieces
from netpolc.compiler import Program, resolved
from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.ir import ANY, NamedPort, NodePeer, PodPeer, Policy, Tier
from netpolc.core.labels import NONE, selects
from netpolc.core.program import Combination, Identity
from netpolc.live.scope import ClassKey, Labels, in_use, local_pods, scoped
from netpolc.passes.arrange import arrange
from netpolc.passes.identify import pod_peers

MOST_EDITS = 50
"""Changes of policies after which the node is compiled again: what they left behind is kept."""


class NodeBasis:
    """A node of a snapshot, with the policies as they are now."""

    def __init__(self, snapshot: Snapshot, node: str, labels_of: Callable[[str], Labels]) -> None:
        self.node, self.pieces, self._labels_of = node, Pieces(), labels_of
        self.local = local_pods(snapshot, node)
        self.unsure = any(space.unsure for space in snapshot.cluster.namespaces.values())
        own = snapshot if self.unsure else scoped(snapshot, self.local)
        self.in_use = in_use(snapshot.policies, own.policies)
        self._policies = {policy.origin.key: policy for policy in own.policies}
        self._first, self._resolver = resolved(own)
        self.program = self._first
        self.lowering = Lowering(self.program)
        self.judged_pods = list(self.lowering.local_pods(node))
        self.numbers = {pod.key: self._first.identity_of[pod.key] for pod in self.local}
        self.kinds = [(pod, self.in_use.class_of(pod)) for pod in self.local]
        self.number_of = {key: self.numbers[pod.key] for pod, key in self.kinds}
        """The identities of kinds of pods that the node has or had."""
        self._identities = self._first.identities
        self._met: dict[int, ClassKey] = {}
        self._judged = self._judged_first = frozenset(self.numbers.values())
        self._owners = Owners(lambda: self._first, node)
        self._kept: list[tuple[Combination, ...]] = []

    @property
    def policies(self) -> Iterable[Policy]:
        """Those that select pods of a kind that the node has, or had."""
        return self._policies.values()

    @property
    def noted(self) -> Shared:
        """What was noted at first; `renoted` differs from that."""
        return self._owners.base

    def edit(self, old: Policy | None, new: Policy | None) -> bool:
        """A policy that comes, goes or changes, and selects pods of the node; whether the Program
        is now what it has to be. If not, it is what it was.
        """
        both = [own for own in (old, new) if own is not None]
        # Chains of ordered tiers are named by their policies, and not by what these say.
        ordered = any(own.tier is not Tier.NETWORK_POLICY for own in both)
        if ordered or not self._can_take(both) or not (new is None or self._knows(new)):
            return False
        known = [self._policies.pop(key, None) for key in {own.origin.key for own in both}]
        if new is not None:
            self._policies[new.origin.key] = new
            known.append(new)
            for number, kind in self._met.items():
                self._judge(number, kind, new)
        subjects = self._resolver.subjects
        touched = frozenset[int]().union(*(subjects(own.subject) for own in known if own))
        if new is not None and subjects(new.subject).isdisjoint(self._judged):
            del self._policies[new.origin.key]  # of its next version nobody hears
        if touched & self._judged:
            self._arrange(touched & self._judged)
        return True

    def meet(self, kind: ClassKey, policies: Collection[Policy]) -> bool:
        """Arrange what judges pods of a kind that the node had none of, which these policies
        select; whether the Program is now what it has to be. If not, it judges what it did.
        """
        if not self._can_take(policies) or not all(map(self._knows, policies)):
            return False
        self._policies |= {own.origin.key: own for own in policies}
        number = len(self._identities)
        self._identities = (*self._identities, Identity(number, (), kind[2]))
        self._met[number], self.number_of[kind] = kind, number
        for own in policies:
            self._judge(number, kind, own)
        self._judged |= {number}
        self._arrange(frozenset((number,)))
        return True

    def _can_take(self, policies: Collection[Policy]) -> bool:
        """Whether what some policies select can be arranged again."""
        audited = any(own.audited for own in (*self._policies.values(), *policies))
        return not (self.unsure or audited or len(self._kept) == MOST_EDITS)

    def _judge(self, number: int, kind: ClassKey, policy: Policy) -> None:
        """Let the policy select the identity of a kind, if it does."""
        namespace, labels, _ = kind
        subject, judged = policy.subject, self._resolver.judged
        within = subject.namespaces
        if isinstance(within, str):
            is_there = within == namespace
        else:
            is_there = selects(within, self._labels_of(namespace))
        if is_there and selects(subject.pods, dict(labels)):
            judged[subject] = judged.get(subject, NONE) | {number}

    def _arrange(self, touched: frozenset[int]) -> None:
        """Resolve what judges some identities once more."""
        subjects, first, identities = self._resolver.subjects, self._first, self._identities
        some = [own for own in self.policies if not touched.isdisjoint(subjects(own.subject))]
        found = list(_only(touched, arrange(some, identities, self._resolver)))
        # Whoever lowers knows rules by their ids, which are nobody else's for as long as they live.
        self._kept.append(self.program.combinations)
        others = _only(self._judged - touched, self.program.combinations)
        self.program = Program(
            first.cluster, identities, (*others, *found), (), first.odd, first.unread
        )
        Program(first.cluster, identities, tuple(found)).verify()
        self.lowering = self.lowering.of_same_pods(self.program)

    def _knows(self, policy: Policy) -> bool:
        """Whether the pods that a policy means are told apart already, by all that it asks for; and
        its nodes known.
        """
        members, nodes = self._resolver.members, self._resolver.nodes
        for rule in policy.rules:
            for port in () if rule.ports is ANY else rule.ports:
                if isinstance(port, NamedPort) and port.name not in self.in_use.ports:
                    return False
            for own in () if rule.peers is ANY else rule.peers:
                if isinstance(own, NodePeer) and own not in nodes:
                    return False
        for peer in dict.fromkeys(pod_peers(policy)):
            if members.knows(peer):
                continue
            if any(need.key not in self.in_use.keys for need in peer.pods.requirements):
                return False
            found = self._selected(peer)
            if found is None:
                return False
            members[peer] = found
        return True

    def _selected(self, peer: PodPeer) -> frozenset[int] | None:
        """The identities that a peer selects; None if it tells pods of one apart."""
        spaces, within = self._first.cluster.namespaces, peer.namespaces
        if isinstance(within, str):
            chosen = {within}
        else:
            chosen = {name for name, own in spaces.items() if selects(within, own.labels)}
        found = set()
        for identity in self._first.identities:
            if identity.closed or self._spaces[identity.number].isdisjoint(chosen):
                continue
            answers = {
                pod.namespace in chosen and selects(peer.pods, pod.labels) for pod in identity.pods
            }
            if len(answers) > 1:
                return None
            if True in answers:
                found.add(identity.number)
        return frozenset(found)

    @cached_property
    def _spaces(self) -> list[frozenset[str]]:
        """The namespaces of each identity's pods."""
        return [frozenset([pod.namespace for pod in own.pods]) for own in self._first.identities]

    @cached_property
    def _admitted(self) -> tuple[set[int], set[int]]:
        """What rules admitted by name at first."""
        return peers_admitted(self._first, self._judged_first)

    def renoted(self, judged: AbstractSet[int] | None) -> dict[int, str | None]:
        """What is noted otherwise than at first, of which pods of then; None where nothing is.
        `judged` are the identities that the node has pods of, if it has not all of them.
        """
        own = self._judged if judged is None else judged
        if self.program is self._first and own == self._judged_first:
            return {}
        before, after = self._admitted, peers_admitted(self.program, own)
        members, addresses = (before[at] ^ after[at] for at in (0, 1))
        pods = [pod for number in members for pod in self._first.identities[number].pods]
        by_address = self._first.pods_by_address
        pods += [by_address[at] for at in addresses if at in by_address]
        return dict(self._notes_of(pods, *after))

    def _notes_of(
        self, pods: Iterable[Pod], members: set[int], addresses: set[int]
    ) -> Iterator[tuple[int, str | None]]:
        for pod in pods:
            is_noted = pod.key in self.numbers or self._first.identity_of[pod.key] in members
            for address in pod.addresses:
                yield address, note_of(pod) if is_noted or address in addresses else None


def _only(numbers: frozenset[int], several: Iterable[Combination]) -> Iterator[Combination]:
    """Some combinations, as far as they judge some identities."""
    for own in several:
        subjects = own.subjects & numbers
        if subjects:
            yield own if subjects == own.subjects else structs.replace(own, subjects=subjects)
