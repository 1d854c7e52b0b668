"""A compiled node in which pods come and go: their answers are elements of sets that are there.

Comes in: what the node was compiled from, then pods. Goes out: the ruleset of the node, or None
once a pod changed more than elements; then somebody compiles again. What a pod may change is what
`lower` says that it used (`Dependencies`): who answers a question is in its sets, how many do is
known to layouts by class, and everything else about pods of other nodes is nowhere in a table. Pods
of the node itself are given to `lower` again, which has all chains already. Nothing is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from functools import cached_property, partial

from msgspec import structs

from netpolc.backends.nft import Options, Ruleset, check_row
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.write.owners import Layered, Notes, Owners, note_of
from netpolc.compiler import Program
from netpolc.core.cluster import Pod
from netpolc.core.ir import Policy, Selector
from netpolc.core.labels import selects
from netpolc.core.nets import format_address, parse_address
from netpolc.live.asked import Answered, Crowd, NodeQuestions, Presence, addresses_of
from netpolc.live.basis import NodeBasis
from netpolc.live.local import LocalPods
from netpolc.live.maps import LiveMaps
from netpolc.live.scope import ClassKey, Labels, Subjects, concerns
from netpolc.live.work import Work

_NEW_CHAIN = "a chain that was not there"
_SETS, _MAPS = ("s4", "s6"), ("a4", "a6", "m4", "m6")
"""How the names begin of sets and maps of pods that answer something."""


class Surroundings:
    """What a compiled node asks of those who keep the objects."""

    def __init__(
        self,
        labels_of: Callable[[str], Labels],
        pod_at: Callable[[int], Pod | None],
        program: Callable[[], Program],
        subjects: Subjects | None,
    ) -> None:
        self.labels_of, self.pod_at, self.program = labels_of, pod_at, program
        self.subjects = subjects
        """The policies that select pods of a class; None where more than those decide."""


class Compiled:
    """One node as its policies are, and what became of its pods since the snapshot it is of."""

    def __init__(
        self,
        basis: NodeBasis,
        options: Options,
        around: Surroundings,
        work: Work,
        judged: AbstractSet[int] | None = None,
        now: Collection[tuple[Pod, int]] = (),
    ) -> None:
        """Of the identities `judged` the node has pods now; None for all that it had. For the pods
        `now`, each with its identity, all chains are made at once.
        """
        self._judged = judged
        self._basis, self._node, self._options = basis, basis.node, options
        self._around, self._work, self._in_use = around, work, basis.in_use
        self._program, self._lowering = basis.program, basis.lowering
        self._frame = self._lowering.table_of(basis.judged_pods, self._node, options)
        more = self._lowering.table_of(now, self._node, options) if now else self._frame
        self._base = {own.name: own for own in (*more.sets, *self._frame.sets)}
        self._there = _of_pods(more) | _of_pods(self._frame)
        self._used = self._lowering.dependencies()
        selecting = around.subjects.selecting if around.subjects is not None else None
        self.local = LocalPods(basis.kinds, basis.number_of, selecting)
        self._notes = basis.renoted(judged)
        self._maps = LiveMaps(self._used, (*more.maps, *self._frame.maps), options.recheck)
        self._known: dict[ClassKey, Answered] = {}
        self._edits: dict[str, dict[int, bool]] = {}
        self._sets: dict[str, nft.AddressSet] = {}
        self._wrong: set[Crowd | Presence] = set()
        self._lost = "a namespace that cannot be read" if basis.unsure else ""
        self._changed = self._moved = False
        self.others: frozenset[int] | None = None
        """The identities that the node has pods of, where other peers are noted for those."""
        self.remade = False
        """Whether chains were made for pods that came or went; those of the basis are no longer."""
        self._ruleset = self._whole()

    @cached_property
    def _asked(self) -> NodeQuestions:
        """What the node asks; made for the first pod that changes, for it takes as long as a table
        does.
        """
        numbers = self.local.identities if self._judged is None else self._judged
        policies = self._basis.policies
        labels_of = self._around.labels_of
        return NodeQuestions(
            self._program, numbers, policies, self._used, self._maps.all, labels_of
        )

    @property
    def lost(self) -> str:
        """Why the node has to be compiled again; empty if it has not."""
        if self.others is not None:
            return self._lost or "the last pod that some policy selects left the node, or came back"
        if self.local.unlike and not self._lost:
            return "a pod of the node unlike those there"
        return self._lost or ("another number of pods" if self._wrong else "")

    @property
    def lacks_chains(self) -> bool:
        """Whether it would do with chains for the pods that the node has now."""
        if self._lost == _NEW_CHAIN:
            return True
        return bool(self.local.unlike) and not self._lost and self._around.subjects is not None

    def concerns(self, policy: Policy) -> bool:
        """Whether a policy selects a pod of the node, or one like those that were there; or asks
        for labels that nobody did, or that a namespace may have which cannot be read.
        """
        known = self._in_use.knows(policy) and not self._basis.unsure
        labels = self._around.labels_of  # of now: a namespace may have been without pods

        def is_within(selector: Selector, namespace: str) -> bool:
            return selects(selector, labels(namespace))

        return not known or concerns(policy, self.local.spaces, is_within)

    def forget_namespaces(self) -> None:
        """Namespaces without pods have other labels from now on."""
        self._known.clear()
        if "_asked" in vars(self):
            self._asked.forget()

    def change(self, pod: Pod, there: bool) -> None:
        """A pod that is there now, or no longer; one of the host's network is none."""
        key = self._in_use.class_of(pod)
        answers = self._answers(key)
        self._lost, self._changed = self._lost or answers.lost, True
        local = pod.is_on(self._node)
        self._count(pod, answers, there, answers.noted or local)
        if local:
            self._moved = True
            self.local.settle(pod, key, there)

    def ruleset(self) -> Ruleset | None:
        """The ruleset now; None if the node has to be compiled again."""
        if not self._changed:
            return self._ruleset
        if self.lost or self._notes_others():
            return None
        if self._maps.remake():
            self._moved = self.remade = True
        if self._moved and not self._lower_again():
            return None
        sets = dict[str, nft.AddressSet]()
        for name, edits in self._edits.items():
            own = self._sets.get(name) or self._base.get(name)
            if isinstance(own, nft.AddressSet):  # else of chains that are not there
                sets[name] = _edited(own, edits)
        self._sets |= sets
        maps = self._maps.edit()
        self._ruleset = self._whole() if self._moved else self._edited(sets, maps)
        self._edits.clear()
        self._moved = self._changed = False
        return self._ruleset

    def _notes_others(self) -> bool:
        """Whether other peers are noted for the kinds of pods that are there now."""
        if self.local.other_kinds:
            now = self.local.present
            self.others = None if self._asked.are_noted(now) else frozenset(now)
            self.local.other_kinds = False
        return self.others is not None

    def _whole(self) -> Ruleset:
        sets = tuple(self._sets.get(own.name, own) for own in self._frame.sets)
        table = structs.replace(self._frame, sets=sets, maps=self._maps.of(self._frame))
        owners, odd, pieces = self._owners(), self._program.odd, self._basis.pieces
        made = Ruleset(table, self._options, self._node, owners, odd=odd, pieces=pieces)
        if self._program.is_ordered:
            check_row(made)
        return made

    def _edited(
        self, sets: Mapping[str, nft.AddressSet], maps: Mapping[str, nft.NamedMap]
    ) -> Ruleset:
        """The ruleset of before, but for the elements of some sets and maps."""
        before = self._ruleset.table
        table = structs.replace(
            before,
            sets=tuple([sets.get(own.name, own) for own in before.sets]),
            maps=tuple([maps.get(own.name, own) for own in before.maps]),
        )
        pairs = zip((*table.sets, *table.maps), (*before.sets, *before.maps), strict=True)
        others = [own for own, was in pairs if own is not was]
        return self._ruleset.edited(table, self._owners(), others)

    def _owners(self) -> LiveOwners:
        around = self._around
        notes = partial(_noted, self._basis, dict(self._notes))
        return LiveOwners(
            around.program, self._node, frozenset(self.local.addresses), notes, around.pod_at
        )

    def _lower_again(self) -> bool:
        """Put the table together for the pods that the node has now; whether all chains that this
        takes were there.
        """
        self._frame = self._lowering.table_of(self.local.judged, self._node, self._options)
        self._work.lowered += 1
        made = [own.judges for own in self._lowering.dependencies()]
        # Some were made for other policies or pods: who came meanwhile is not in their sets.
        is_there = _of_pods(self._frame) <= self._there
        if made != [own.judges for own in self._used] or not is_there:
            self._lost = _NEW_CHAIN
        return not self._lost

    def _answers(self, key: ClassKey) -> Answered:
        known = self._known.get(key)
        if known is None:
            self._work.classes += 1
            known = self._known[key] = self._asked.answers(key)
        return known

    def _count(self, pod: Pod, answers: Answered, there: bool, noted: bool) -> None:
        step = 1 if there else -1
        v4, v6 = addresses_of(pod)
        for count in answers.counts:
            if count.add(step * len(v4), step * len(v6), step):
                self._wrong.discard(count)
            else:
                self._wrong.add(count)
        for addresses, names in (v4, answers.v4), (v6, answers.v6):
            for name in names if addresses else ():
                edits = self._edits.setdefault(name, {})
                for address in addresses:
                    edits[address] = there
        for own, answered in answers.maps:
            self._work.touched += own.change(answered, pod.addresses, there)
        self._work.touched += len(answers.counts) + len(answers.v4) * len(v4)
        self._work.touched += len(answers.v6) * len(v6)
        if noted:
            self._work.touched += len(pod.addresses)
            note = note_of(pod) if there else None
            self._notes.update(dict.fromkeys(pod.addresses, note))


def _of_pods(table: nft.Table) -> set[str]:
    """The names of a table's sets of pods, and of maps in which there are some."""
    maps = (own for own in table.maps if isinstance(own, nft.AddressMap) and own.elements)
    several = (own for own in table.sets if own.name.startswith(_SETS))
    return {own.name for own in several} | {own.name for own in maps if own.name.startswith(_MAPS)}


def _edited(own: nft.AddressSet, edits: Mapping[int, bool]) -> nft.AddressSet:
    """A set to which members come and which others leave."""
    elements = list(own.elements)
    for address, there in edits.items():
        at = bisect_left(elements, address, key=parse_address)
        is_there = at < len(elements) and parse_address(elements[at]) == address
        if there and not is_there:
            elements.insert(at, format_address(address))
        elif is_there and not there:
            del elements[at]
    return structs.replace(own, elements=tuple(elements))


def _noted(basis: NodeBasis, since: dict[int, str | None]) -> Notes:
    """What was noted when the node was compiled, and what policies and pods changed since."""
    return Layered(basis.noted, since)


class LiveOwners(Owners):
    """The owners at one moment; `pod_at` knows who has an address now, if anybody."""

    def __init__(
        self,
        program: Callable[[], Program],
        node: str,
        local: frozenset[int],
        notes: Callable[[], Notes],
        pod_at: Callable[[int], Pod | None],
    ) -> None:
        super().__init__(program, node)
        self._known, self._pod_at = notes, pod_at
        vars(self)["local"] = local

    @cached_property
    def notes(self) -> Notes:
        """All that was noted at that moment."""
        return self._known()

    def _note(self, address: int) -> str | None:
        pod = self._pod_at(address)
        return None if pod is None else note_of(pod)
