"""Reads objects one at a time, each by itself, for who keeps them and hears of changes.

Comes in: documents as an API server has them. Goes out: a `OneObject` for each, what the readers of
its kind make of it; and the snapshot that many of these are together, equal to one that is read in
one go. Nothing is refused: an odd object stands for itself in the strict direction (`odd.py`), and
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec
from msgspec import Struct

from netpolc.core.cluster import Namespace, Node, Odd, Pod, Snapshot
from netpolc.core.errors import Diagnostic, ObjectProblems, Problems
from netpolc.core.ir import Policy
from netpolc.frontends import Semantics, Treatment, kinds
from netpolc.frontends.cluster import cluster
from netpolc.frontends.frontend import PASSED_OVER, Frontend, Gathered, Name, Reader
from netpolc.frontends.networkpolicy import networkpolicy_beta
from netpolc.frontends.objects import Life
from netpolc.frontends.odd import OddObjects
from netpolc.manifests import Document

_REMEMBERED = 20_000
"""Objects after which what readers have seen of labels and ports is forgotten: a Deployment has new
labels with every version."""
LEFT_OUT = "it is left out: nobody can tell whom it is about"


class OneObject(Struct, frozen=True, gc=False):
    """What one object says: a policy, a namespace with its annotations, a node or a pod.

    `life` tells which of two pods with one address is the newer. `failed` says that the object
    could not be read, and that this stands for it; `odd` what is done instead of what was written.
    An object may say nothing: a finished pod.
    """

    policy: Policy | None = None
    namespace: Namespace | None = None
    annotations: Mapping[str, str] | None = None
    node: Node | None = None
    pod: Pod | None = None
    life: Life | None = None
    odd: tuple[Odd, ...] = ()
    failed: bool = False
    reasons: tuple[str, ...] = ()
    """What was wrong with it, field by field."""


class ObjectReader:
    """Reads objects of the kinds that a cluster is judged by; `semantics` as a snapshot has it."""

    def __init__(self, semantics: Semantics, strict: bool = True) -> None:
        self._semantics, self._strict = semantics, strict
        scoped = {kind for own in kinds.KINDS if own.cluster_scoped for kind in own.serves}
        self._problems = Problems()
        self._odd = OddObjects(self._problems, Treatment.ISOLATE, scoped)
        self._left = 0
        self._gathered = Gathered(self._problems, semantics, strict, self._odd)
        self._lasting: dict[int, Reader] = {}
        self.told = False
        """Whether anything had to be said of the object that was read last."""

    def reads(self, document: Document) -> bool:
        """Whether an object is of a kind that is read, in one of its versions."""
        return any(own.reads(document) for own in kinds.KINDS)

    def read(self, document: Document) -> OneObject:
        """What an object says."""
        if self._left == 0:
            self._left = _REMEMBERED
            self._gathered = Gathered(self._problems, self._semantics, self._strict, self._odd)
            self._lasting = {}
        self._left -= 1
        report = self._odd.report(document)
        found = self._read(document, report)
        self.told = bool(self._problems.diagnostics or self._odd.found)
        self._problems.diagnostics.clear()
        self._odd.found.clear()
        return found

    def name(self, document: Document) -> Name:
        """Namespace (empty of what is in none) and name of an object."""
        return self._odd.named(document, document.kind)

    def _read(self, document: Document, report: ObjectProblems) -> OneObject:
        reader = self._reader(document)
        treatment: str | None = PASSED_OVER
        if reader is not None and reader.plain(document) is None:
            reader.read(document, report)
            if report.failed:
                treatment = reader.stand_in(document, document.kind, report)[1] or LEFT_OUT
        reasons = tuple(_told(own) for own in report.diagnostics) if report.failed else ()
        self._odd.hand_on(document, document.kind, report, treatment)
        return self._taken(document, tuple(self._odd.found), report.failed, reasons)

    def _reader(self, document: Document) -> Reader | None:
        for number, frontend in enumerate(kinds.KINDS):
            if document.kind in frontend.serves:
                if not frontend.reads(document):
                    return None
                return self._lasting.get(number) or self._made(number, frontend)
        return None

    def _made(self, number: int, frontend: Frontend) -> Reader:
        made = frontend.reader(self._gathered)
        if "Pod" in frontend.serves:  # it remembers what replicas have alike, others their objects
            self._lasting[number] = made
        return made

    def _taken(
        self, document: Document, odd: tuple[Odd, ...], failed: bool, reasons: tuple[str, ...]
    ) -> OneObject:
        """What was gathered, and is no longer."""
        own = self._gathered
        pod = next(iter(own.pods.values()), None)
        space = next(iter(own.namespaces.values()), None)
        found = OneObject(
            own.policies[0] if own.policies else None,
            space,
            own.annotations.get(space.name) if space is not None else None,
            next(iter(own.nodes.values()), None),
            pod,
            _life(document) if pod is not None else None,
            odd,
            failed,
            reasons,
        )
        own.policies.clear()
        own.owners.clear()
        for several in own.namespaces, own.annotations, own.nodes, own.pods, own.documents:
            several.clear()
        return found


def _told(one: Diagnostic) -> str:
    return f"{one.path}: {one.message}" if one.path else one.message


def _life(document: Document) -> Life:
    """As much as decides whose an address is; an order that cannot be read is none."""
    try:
        found = document.typed(Life)
    except (msgspec.MsgspecError, RecursionError):
        return Life()
    return Life(found.metadata, None if found.spec is None else {}, found.status)


class _Lives(Mapping[Name, Document]):
    """Documents that say no more than when a pod was made and how far it has come."""

    def __init__(self, several: Mapping[Name, tuple[Pod, Life]]) -> None:
        self._several = several

    def __getitem__(self, name: Name) -> Document:
        pod, life = self._several[name]
        source = pod.origin.source
        return Document("v1", "Pod", {}, (), source, life)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Name]:
        return iter(self._several)

    def __len__(self) -> int:
        return len(self._several)


def together(several: Iterable[OneObject], semantics: Semantics) -> Snapshot:
    """The snapshot that some objects are, each of which has a name of its own."""
    problems = Problems()
    odd = OddObjects(problems, Treatment.ISOLATE, ())
    gathered = Gathered(problems, semantics, True, odd)
    lives: dict[Name, tuple[Pod, Life]] = {}
    for own in several:
        odd.found += own.odd
        if own.pod is not None:
            name = own.pod.namespace, own.pod.name
            gathered.pods[name] = own.pod
            lives[name] = own.pod, own.life or Life()
        elif own.policy is not None:
            gathered.policies.append(own.policy)
        elif own.namespace is not None:
            gathered.namespaces[own.namespace.name] = own.namespace
            gathered.annotations[own.namespace.name] = dict(own.annotations or {})
        elif own.node is not None:
            gathered.nodes[own.node.name] = own.node
    gathered.documents = _Lives(lives)  # type: ignore[assignment]
    found = cluster.build(gathered)
    gathered.policies.extend(networkpolicy_beta.isolations(gathered))
    return Snapshot(
        found, tuple(gathered.policies), problems.warnings, odd=tuple(sorted(set(odd.found)))
    )
