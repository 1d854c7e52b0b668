"""What the HTML report shows, as data: who there is, what each pair has, and which rules say so.

Comes in: the parties of a snapshot, or of two, before and after a change. Goes out: a
`ReportDocument` of numbers into shared lists. Parties that rules do not tell apart are one *class*,
and the rows of the matrices are shared, so the size follows the different ends and not the pairs.
Texts are printable: files may be called anything, names in Kubernetes may not.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.analysis.connectivity.reach import Admission, Place, Reach, match_ports
from netpolc.core.foreign import inert
from netpolc.core.ir import Action, Direction, Origin
from netpolc.core.nets import NOTHING, Family, Ranges, Span
from netpolc.core.program import Combination

_BOTH = (Direction.EGRESS, Direction.INGRESS)
T = TypeVar("T", bound=Hashable)
PartyPlaces = tuple[Place | None, ...]
"""The places of all classes in one family; None where one has no address of it."""
Progress = Callable[[int, int], None]
NO_FAMILY = -1
"""In the rows of reasons: the two ends have no address of this family in common."""


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A snapshot; one that is not there has no places. Both sides of a change list the same."""

    reach: Reach
    parties: Sequence[Party]


@dataclass(frozen=True, slots=True)
class Member:
    """A party; `before` and `after` are its classes, None where it was not there.

    An identity with pods in several namespaces is in none.
    """

    name: str
    namespace: str
    is_outside: bool
    is_single: bool
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Citation:
    """A policy or, with `rule`, a rule in it: what it does with which ports, and where it is."""

    policy: str
    place: str
    rule: str = ""
    action: str = ""
    ports: str = ""


@dataclass(frozen=True, slots=True)
class Basis:
    """What one direction admits: the causes that isolate and the rules (if none, all is open).

    With `ordered` an ordered tier judges: then rules are in the order they are asked, each with the
    ports of which it is the first.
    """

    ports: str
    isolated: tuple[int, ...]
    rules: tuple[int, ...]
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class Admitted:
    """What both directions admit.

    `text` names families where they differ, `admits` always: what two sides have is the same where
    that is. `spans` are on the port line, of any family.
    """

    text: str
    admits: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The answers of one side: each entry names a row, and a row has a number for each class.

    `outcomes` are by source; `egress` by source and `ingress` by destination, for each family.
    """

    outcomes: tuple[int, ...]
    egress: dict[int, tuple[int, ...]]
    ingress: dict[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class SeenFlow:
    """Traffic that was seen between two parties, by their numbers: on what port, how many records,
    what policies say of it and what the log; `finding` is where they disagree, or what a change
    does to it, and `is_alarm` whether somebody has to look at that.
    """

    source: int
    destination: int
    connection: str
    records: int
    policies: str
    log: str
    finding: str
    is_alarm: bool


@dataclass(frozen=True, slots=True)
class SeenTraffic:
    """What flow logs show; `about` says in sentences what they are and what they leave out."""

    about: tuple[str, ...]
    flows: tuple[SeenFlow, ...]


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """Everything the page knows; without `before` it is one snapshot and no comparison, without
    `observed` nobody has looked at traffic.
    """

    title: str
    parties: tuple[Member, ...]
    causes: tuple[Citation, ...]
    reasons: tuple[Basis, ...]
    outcomes: tuple[Admitted, ...]
    rows: tuple[tuple[int, ...], ...]
    after: Matrix
    before: Matrix | None
    observed: SeenTraffic | None = None


def report_document(
    title: str,
    after: State,
    before: State | None = None,
    progress: Progress = lambda done, total: None,
    observed: SeenTraffic | None = None,
) -> ReportDocument:
    """The document of one snapshot or, with `before`, of a change; `progress` counts rows."""
    sides = [side for side in (before, after) if side is not None]
    classes = [_classes(side.parties) for side in sides]
    total = sum(len(first) for _, first in classes)
    builder = _Builder(progress, total * len(Direction) * len(Family))
    matrices = [
        builder.matrix(side.reach, first) for side, (_, first) in zip(sides, classes, strict=True)
    ]
    absent = [None] * len(after.parties)
    old_classes = classes[0][0] if before is not None else absent
    members = map(_member, after.parties, (before or after).parties, old_classes, classes[-1][0])
    return ReportDocument(
        inert(title),
        tuple(members),
        builder.causes.values(),
        builder.reasons.values(),
        builder.outcomes.values(),
        builder.rows.values(),
        matrices[-1],
        matrices[0] if before is not None else None,
        observed,
    )


def _classes(parties: Sequence[Party]) -> tuple[list[int | None], list[Party]]:
    """The class of each party of a side, and the first party of each class."""
    numbers: dict[tuple[tuple[Family, Place], ...], int] = {}
    classes: list[int | None] = []
    first: list[Party] = []
    for party in parties:
        if not party.places:
            classes.append(None)
            continue
        number = numbers.setdefault(tuple(sorted(party.places.items())), len(first))
        if number == len(first):
            first.append(party)
        classes.append(number)
    return classes, first


def _member(party: Party, was: Party, before: int | None, after: int | None) -> Member:
    spaces = {pod.namespace for side in (party, was) for pod in side.pods}
    known = [side.is_single for side in (party, was) if side.pods]
    return Member(
        inert(party.name),
        inert(spaces.pop()) if len(spaces) == 1 else "",
        party.is_outside,
        bool(known) and all(known),
        before,
        after,
    )


class _Numbers(Generic[T]):
    """Different values, numbered as they come."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}

    def of(self, value: T) -> int:
        return self._numbers.setdefault(value, len(self._numbers))

    def values(self) -> tuple[T, ...]:
        return tuple(self._numbers)


class _Builder:
    """Fills the shared lists, one side after the other."""

    def __init__(self, progress: Progress, rows: int) -> None:
        self.causes: _Numbers[Citation] = _Numbers()
        self.reasons: _Numbers[Basis] = _Numbers()
        self.outcomes: _Numbers[Admitted] = _Numbers()
        self.rows: _Numbers[tuple[int, ...]] = _Numbers()
        self.outcomes.of(_outcome({}))  # the page knows it as number 0
        self._progress = progress
        self._done, self._total = 0, rows
        self._admissions: dict[Admission, int] = {}
        self._sets: _Numbers[Ranges] = _Numbers()
        self._ports = {NO_FAMILY: NO_FAMILY}  # of each reason, by its number in _sets
        self._joined: dict[tuple[int, ...], int] = {}
        self._origins: dict[Origin, tuple[str, str, str]] = {}

    def matrix(self, reach: Reach, parties: Sequence[Party]) -> Matrix:
        """The answers of a side; the parties are one of each class."""
        known: dict[tuple[Combination | None, PartyPlaces], tuple[int, ...]] = {}
        reasons = {
            (way, version): self._reasons(reach, way, places, known)
            for version in Family
            for places in [tuple(party.places.get(version) for party in parties)]
            for way in Direction
        }
        judged: list[list[tuple[int, ...]]] = []
        for version in Family:
            egress, ingress = (self._admitted(reasons[way, version]) for way in _BOTH)
            judged += egress, list(zip(*ingress, strict=True))
        outcomes = tuple(
            self.rows.of(tuple(map(self._outcome, zip(*rows, strict=True))))
            for rows in zip(*judged, strict=True)
        )
        rows = (
            {int(v): tuple(map(self.rows.of, reasons[way, v])) for v in Family} for way in _BOTH
        )
        return Matrix(outcomes, *rows)

    def _admitted(self, rows: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The ports of each reason: many reasons, but few sets of ports."""
        return [tuple(map(self._ports.__getitem__, row)) for row in rows]

    def _reasons(
        self,
        reach: Reach,
        way: Direction,
        places: PartyPlaces,
        known: dict[tuple[Combination | None, PartyPlaces], tuple[int, ...]],
    ) -> list[tuple[int, ...]]:
        """A row for each subject: why its peers are admitted or not; `known` under each judge."""
        rows = []
        for here in places:
            self._done += 1
            self._progress(self._done, self._total)
            if here is None:
                rows.append((NO_FAMILY,) * len(places))
                continue
            key = reach.judge(way, here), places
            if key not in known:
                known[key] = tuple(
                    NO_FAMILY if peer is None else self._reason(reach.admission(way, here, peer))
                    for peer in places
                )
            rows.append(known[key])
        return rows

    def _reason(self, admission: Admission) -> int:
        known = self._admissions.get(admission)
        if known is None:
            known = self._admissions[admission] = self.reasons.of(self._explained(admission))
            self._ports[known] = self._sets.of(admission.ports)
        return known

    def _outcome(self, judged: tuple[int, ...]) -> int:
        """The outcome for the ports of egress and ingress in each family."""
        known = self._joined.get(judged)
        if known is None:
            sets = self._sets.values()
            found = {
                version: sets[egress] & sets[ingress]
                for version, egress, ingress in zip(Family, judged[::2], judged[1::2], strict=True)
                if NO_FAMILY not in (egress, ingress)
            }
            known = self._joined[judged] = self.outcomes.of(_outcome(found))
        return known

    def _explained(self, admission: Admission) -> Basis:
        tiers = admission.judge.tiers if admission.judge is not None else ()
        isolating = [o for tier in tiers if tier.default is Action.DENY for o in tier.policies]
        ports: dict[tuple[Origin, Action], Ranges] = {}
        ordered = admission.is_ordered
        asked = (
            admission.deciding
            if ordered
            else ((rule, match_ports(rule.match)) for rule in admission.rules)
        )
        for rule, own in asked:
            key = rule.origin, rule.action
            ports[key] = ports.get(key, NOTHING) | own
        return Basis(
            describe_ports(admission.ports),
            tuple(self.causes.of(self._cause(origin)) for origin in isolating),
            tuple(
                self.causes.of(self._cause(origin, action.name.lower(), describe_ports(own)))
                for (origin, action), own in ports.items()
            ),
            ordered,
        )

    def _cause(self, origin: Origin, action: str = "", ports: str = "") -> Citation:
        known = self._origins.get(origin)
        if known is None:
            known = (
                inert(origin.policy),
                inert(origin.place()),
                inert(f"{origin.rule}{origin.name_said}"),
            )
            self._origins[origin] = known
        return Citation(*known, action, ports)


def _outcome(found: Mapping[Family, Ranges]) -> Admitted:
    """The outcome for the ports of each family that both ends have."""
    admits = "; ".join(f"{describe_ports(ports)} (IPv{v})" for v, ports in found.items() if ports)
    is_plain = len(set(found.values())) == 1 or not admits
    text = describe_ports(next(iter(found.values()), NOTHING)) if is_plain else admits
    spans = Ranges.of(span for ports in found.values() for span in ports).spans
    return Admitted(text, admits, spans)
