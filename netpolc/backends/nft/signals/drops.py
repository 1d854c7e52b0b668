"""What one chain denied: what is told of every loaded table, so that few modules are behind it.

Comes in: counters of chains as `rollout` reads them. Goes out: `Drops`. Nothing is refused.
"""

from __future__ import annotations

from msgspec import Struct


class Drops(Struct, frozen=True):
    """What one chain denied since it was loaded (if `audited`: would have denied, and let pass);
    `policies` names those that isolate its pods, as many as fit.
    """

    chain: str
    packets: int
    bytes: int
    policies: str
    audited: bool = False

    @property
    def direction(self) -> str:
        """The direction the chain judges, by the first letter of its name."""
        return "ingress" if self.chain.startswith("i") else "egress"
