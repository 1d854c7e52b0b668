"""What a check says: codes, and findings that cite one.

Comes in from the checks: a code, the field it is about, a sentence. Goes out to the formats:
`Finding` values with their severity, place and the objects they refer to.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

from msgspec import structs

from netpolc.analysis.findings.view import View
from netpolc.core.errors import ROOT, Path
from netpolc.core.ir import Direction, Origin, Policy, Rule, Tier, Waived
from netpolc.manifests import NumberedLines, line_at

MANIFEST_ERROR = "NP001"
MANIFEST_WARNING = "NP002"
NOTHING_ISOLATED = "NP004"
UNKNOWN_WAIVER = "NP005"


class Level(IntEnum):
    """How much a finding matters."""

    INFO = 0
    WARNING = 1
    ERROR = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding: why it matters, an example of it, and the same put right."""

    code: str
    level: Level
    title: str
    why: str
    example: str
    fix: str


@dataclass(frozen=True, slots=True)
class Related:
    """Another object that a finding speaks of, and where it is."""

    name: str
    place: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; `place` is `file:line:column` (or the file), `field` as the API writes it."""

    code: str
    level: Level
    place: str
    object: str
    field: str
    message: str
    references: tuple[Related, ...] = ()
    remark: Remark | None = dataclasses.field(default=None, compare=False, repr=False)
    """What it was; None of what reading the manifests found."""

    @property
    def lines(self) -> NumberedLines:
        """The numbered lines it is about, of an object the name; none where they cannot be read
        again.
        """
        if self.remark is not None:
            origin = self.remark.origin
            return origin.source.excerpt(origin.field or ("metadata", "name"))
        return line_at(self.place)


@dataclass(frozen=True)
class Remark:
    """What a check found; it becomes a `Finding` unless the object waives its code."""

    code: str
    origin: Origin
    message: str
    waived: Waived = frozenset()
    others: tuple[Origin, ...] = ()
    level: Level | None = None
    """None is that of the code."""

    def finding(self, usual: Level) -> Finding:
        """The finding, with its lines looked up."""
        level = usual if self.level is None else self.level
        references = tuple(Related(str(other), other.place()) for other in self.others)
        name = f"{self.origin.kind} {self.origin.path}"
        place = self.origin.place()
        return Finding(self.code, level, place, name, self._field, self.message, references, self)

    @cached_property
    def _field(self) -> str:
        path: Path = ROOT
        for element in self.origin.field:
            is_field = isinstance(element, int) or element.isidentifier()
            path = path / element if is_field else path.key(str(element))
        return str(path)


Check = Callable[[View], Iterator[Remark]]


def inside(origin: Origin, *elements: str | int) -> Origin:
    """A field inside the field that an origin stands for."""
    return structs.replace(origin, field=(*origin.field, *elements))


def subject_origin(policy: Policy) -> Origin:
    """Where a policy says whom it selects."""
    is_network_policy = policy.tier is Tier.NETWORK_POLICY
    return inside(policy.origin, "spec", "podSelector" if is_network_policy else "subject")


def peer_origin(policy: Policy, rule: Rule, number: int, *fields: str) -> Origin:
    """A peer of a rule, or fields of it; the latter only where they are those of NetworkPolicy."""
    own = "from" if rule.direction is Direction.INGRESS else "to"
    return inside(rule.origin, own, number, *(fields if policy.tier is Tier.NETWORK_POLICY else ()))
