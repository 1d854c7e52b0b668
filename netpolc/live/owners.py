"""Whose address is whose, as pods come and go: `Owners` of a moment, without a Program.

Comes in: the addresses of a node's pods, what is noted, and who has an address now. Goes out: an
`Owners`; the Program behind it is made only where somebody asks for it. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from netpolc.backends.nft.write.owners import Notes, Owners, note_of
from netpolc.core.cluster import Pod
from netpolc.core.program import Program


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
