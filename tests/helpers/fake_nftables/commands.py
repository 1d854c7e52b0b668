"""Commands of a transaction, as `syntax` reads them: one for each message to the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.helpers.fake_nftables.rules import Rule

Verb = Literal["add", "create", "delete", "destroy"]
Kind = Literal["chain", "set", "map", "counter"]


@dataclass(frozen=True, slots=True)
class SetType:
    """What a set keeps for as long as it is there; its size may change."""

    types: tuple[str, ...]
    verdicts: bool = False
    interval: bool = False
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Hook:
    """Where a base chain sits."""

    name: str
    priority: int
    policy: str


@dataclass(frozen=True, slots=True)
class OnTable:
    """Add, create, delete or destroy a table; `dormant` and the comment are of an added one."""

    verb: Verb
    table: str
    dormant: bool = False
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class OnObject:
    """The same of a chain, set, map or counter, with what is said of an added one; `declared` is
    how a set says its types.
    """

    verb: Verb
    kind: Kind
    table: str
    name: str
    hook: Hook | None = None
    type: SetType | None = None
    declared: str = ""
    size: int = 0
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class OnElements:
    """The same of elements of a set or map; to create one that is there is refused."""

    verb: Verb
    table: str
    name: str
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Flush:
    """Empty a chain, a set, a map, or every chain of a table (`name` is empty)."""

    kind: Literal["table", "chain", "set", "map"]
    table: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class OnRule:
    """Add a rule at the end of a chain, or at its beginning."""

    table: str
    chain: str
    rule: Rule
    first: bool = False


Command = OnTable | OnObject | OnElements | Flush | OnRule
