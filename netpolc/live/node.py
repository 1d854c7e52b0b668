"""A node of a snapshot in which pods and policies change, each at the cost of what it touches.

Comes in: a snapshot, then pods and policies. Goes out: the ruleset of the node, or None where it
has to be compiled again. When policies change the table is put together from the snapshot's pods,
and what pods did since is done once more: so all that depends on both is as if the policies had
always been what they are. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from netpolc.backends.nft import Options, Ruleset
from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.ir import Policy
from netpolc.live.basis import NodeBasis
from netpolc.live.compiled import Compiled, Surroundings
from netpolc.live.work import Work

MOST_SINCE = 1000
"""Changes of pods that are done once more: more of them take as long as to compile the node."""

_TRIES = 3
"""How often what pods did is done once more for one ruleset: for pods that are new, for the kinds
that are noted then, and for chains of those."""


class LiveNode:
    """A node; `compiled` is what it was made to when policies changed last."""

    def __init__(
        self, snapshot: Snapshot, node: str, options: Options, around: Surroundings, work: Work
    ) -> None:
        self._options, self._around, self._work = options, around, work
        self._basis = NodeBasis(snapshot, node, around.labels_of)
        self._now: list[tuple[Pod, int]] = []
        self._since: list[tuple[Pod, bool]] = []
        self._edited = self._relabelled = False
        self.compiled = self._made()

    @property
    def lost(self) -> str:
        """Why the node has to be compiled again; empty if it has not."""
        is_lost = self._edited and not self._can_repeat
        return "a policy, after too much else" if is_lost else self.compiled.lost

    @property
    def _can_repeat(self) -> bool:
        """Whether what pods did can be done once more, on what was there before they did."""
        return len(self._since) <= MOST_SINCE and not (self._relabelled or self.compiled.remade)

    def change(self, pod: Pod, there: bool) -> None:
        """A pod that is there now, or no longer; one of the host's network is none."""
        if len(self._since) <= MOST_SINCE:
            self._since.append((pod, there))
        if not self._edited:
            self.compiled.change(pod, there)

    def forget_namespaces(self) -> None:
        """Namespaces without pods have other labels from now on: pods that left them had answered
        by the labels of before.
        """
        self._relabelled = self._relabelled or bool(self._since)
        self.compiled.forget_namespaces()

    def edit(self, old: Policy | None, new: Policy | None) -> bool:
        """A policy that comes, goes or changes; whether the node need not be compiled for it."""
        if self.lost or not self._can_repeat or not self._basis.edit(old, new):
            return False
        self._edited = True
        return True

    def ruleset(self) -> Ruleset | None:
        """The ruleset now; None if the node has to be compiled again, as `lost` says."""
        if self._edited and self._can_repeat:
            self._edited = False
            self._work.edited += 1
            self._repeat(None)
        if self._edited:
            return None
        judged = None
        for _ in range(_TRIES):
            found = self.compiled.ruleset()
            if found is not None or not self._can_repeat:
                return found
            if self.compiled.others is not None:
                judged = self.compiled.others
            elif self._meets():
                self._work.met += 1
            else:
                return None
            self._repeat(judged)
        return self.compiled.ruleset()

    def _meets(self) -> bool:
        """Have chains made for the pods that the node has now; whether that can be done."""
        compiled, subjects = self.compiled, self._around.subjects
        if not compiled.lacks_chains:
            return False
        basis, unlike = self._basis, compiled.local.unlike.values()
        for kind in dict.fromkeys(kind for _, kind in unlike):
            is_closed = not kind[0]
            if subjects is None or is_closed or not basis.meet(kind, subjects.policies(kind)):
                return False
        self._now = compiled.local.judged
        self._now += ((pod, basis.number_of[kind]) for pod, kind in unlike if pod.addresses)
        return True

    def _repeat(self, judged: AbstractSet[int] | None) -> None:
        """Do once more what pods did, on the table for their kinds."""
        self.compiled = self._made(judged)
        for pod, there in self._since:
            self.compiled.change(pod, there)

    def _made(self, judged: AbstractSet[int] | None = None) -> Compiled:
        basis, options, around = self._basis, self._options, self._around
        return Compiled(basis, options, around, self._work, judged, self._now)
