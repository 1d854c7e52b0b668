"""How a transaction is refused."""

from __future__ import annotations

import errno
import os


class Refusal(Exception):
    """What the kernel, or libnftables before it, says to a transaction; nothing was changed."""

    def __init__(self, code: int, where: str) -> None:
        super().__init__(f"Error: Could not process rule: {os.strerror(code)}\n{where}")
        self.code = code


class Unmodelled(Exception):
    """Words that this stand-in does not know, or a state in which it cannot tell."""


def missing(where: str) -> Refusal:
    """Something that is named is not there."""
    return Refusal(errno.ENOENT, where)


def exists(where: str) -> Refusal:
    """Something is there already, and is another one or must not be there."""
    return Refusal(errno.EEXIST, where)


def busy(where: str) -> Refusal:
    """Something else still refers to what shall be deleted."""
    return Refusal(errno.EBUSY, where)
