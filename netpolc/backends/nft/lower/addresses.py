"""The addresses behind identities, taken from the pods once for all that counts or lists them.

Comes in: a Program. Goes out: the addresses of an identity by family. Nothing is refused.
"""

from __future__ import annotations

from netpolc.core.nets import IPV6
from netpolc.core.program import Program

ByFamily = tuple[tuple[int, ...], tuple[int, ...]]
"""Addresses of IPv4, then those of IPv6."""


class Addresses:
    """The addresses of the pods of each identity."""

    def __init__(self, program: Program) -> None:
        self._identities = program.identities
        self._known: dict[int, ByFamily] = {}

    def of(self, number: int) -> ByFamily:
        """Those of one identity, in the order of its pods."""
        known = self._known.get(number)
        if known is None:
            found = [own for pod in self._identities[number].pods for own in pod.addresses]
            later = tuple([own for own in found if own >= IPV6])
            first = tuple([own for own in found if own < IPV6]) if later else tuple(found)
            known = self._known[number] = first, later
        return known
