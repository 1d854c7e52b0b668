"""Ends the flows of addresses whose pods are gone, with as little work as the kernel allows.

Comes in: addresses that changed hands or were given up. Goes out: their flows are forgotten. Those
that some pod gave up and no other took are flushed, where the kernel can; what an answer that was
on its way begins anew is flushed a moment later, without waiting for it. All others are forgotten
as `netpolc apply` does it. Refused: what the kernel refuses (`SystemRefusal`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from math import inf

from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.write.owners import Owners

MOST = 8
"""For more addresses one list of all flows is cheaper."""
LATER = 0.06
"""So many seconds after the flows of an address answers to them are looked for."""


class Forgetting:
    """What is still to be looked at, and when; of the network namespace it was made in."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._flusher = clock, conntrack.FlowFlusher()
        self._waiting: deque[tuple[float, Owners, tuple[int, ...]]] = deque()

    def forget(self, owners: Owners, addresses: Collection[int]) -> None:
        """Forget the flows of addresses that moved; `owners` are those of now."""
        free = len(addresses) <= MOST and all(map(owners.is_free, addresses))
        if not free or not self._flusher.flush(addresses):
            conntrack.forget_addresses(addresses)
            return
        self._waiting.append((self._clock() + LATER, owners, tuple(addresses)))

    def due(self) -> float:
        """When the next look is to be."""
        return self._waiting[0][0] if self._waiting else inf

    def look(self) -> None:
        """Look at what is due."""
        self._flush(self._clock())

    def finish(self) -> None:
        """Look at all that is left, now."""
        self._flush(inf)

    def _flush(self, until: float) -> None:
        due = set[int]()
        while self._waiting and self._waiting[0][0] <= until:
            _, owners, addresses = self._waiting.popleft()
            due.update(filter(owners.is_free, addresses))
        if due:
            self._flusher.flush_answers(due)
