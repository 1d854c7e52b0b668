"""The verdicts that rows of logs are written with, and how many came out how."""

from __future__ import annotations

from dataclasses import dataclass

ALLOWED, DENIED, BAD = "ALLOW", "DENY", "INVALID"
REPLY, UNCLEAR = "REPLY", "UNCLEAR"
"""Of formats that tell replies: what is no request, and what is denied unless it is a reply."""


@dataclass(slots=True)
class Counts:
    """How many rows came out how."""

    allowed: int = 0
    denied: int = 0
    bad: int = 0
    replies: int = 0
    unclear: int = 0

    def add(self, verdict: str, rows: int = 1) -> None:
        """So many more."""
        name = _COUNTED[verdict]
        setattr(self, name, getattr(self, name) + rows)

    @property
    def total(self) -> int:
        """All of them."""
        return self.allowed + self.denied + self.bad + self.replies + self.unclear

    def __str__(self) -> str:
        told = f"{self.allowed} allowed, {self.denied} denied, {self.bad} invalid"
        if self.replies:
            told += f", {self.replies} replies"
        if self.unclear:
            told += f", {self.unclear} denied, unless a reply"
        return f"{self.total} flows: {told}"


_COUNTED = {ALLOWED: "allowed", DENIED: "denied", BAD: "bad", REPLY: "replies", UNCLEAR: "unclear"}
