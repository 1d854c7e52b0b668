"""Documents to a `Snapshot`: every object to the reader of its kind, each name once.

Comes in: documents in any order. Goes out: policies, a cluster, expectations, what was ignored and
what is odd. Refused: what the readers refuse, and two objects of one name, unless odd objects are
to be isolated (`odd.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from netpolc.core.cluster import Cluster, Snapshot
from netpolc.core.errors import ROOT, ObjectProblems, Problems, Severity
from netpolc.core.ir import Key, Origin, Policy
from netpolc.frontends import Semantics, Treatment, kinds, unread
from netpolc.frontends.cluster import cluster, makers
from netpolc.frontends.fields import DEFAULT_NAMESPACE
from netpolc.frontends.frontend import PASSED_OVER, Gathered, Name, Reader
from netpolc.frontends.networkpolicy import networkpolicy_beta
from netpolc.frontends.odd import OddObjects, names_no_namespace
from netpolc.manifests import Document, ManifestSource


def read_snapshot(
    documents: Iterable[Document],
    problems: Problems,
    semantics: Semantics,
    strict: bool,
    treatment: Treatment,
) -> Snapshot:
    """The snapshot; `InputError` with everything that was found if any of it is an error."""
    scoped = {kind for own in kinds.KINDS if own.cluster_scoped for kind in own.serves}
    odd = OddObjects(problems, treatment, scoped)
    reading = _Reading(Gathered(problems, semantics, strict, odd))
    for document in documents:
        reading.read(document)
    return reading.snapshot()


def within(documents: Iterable[Document], namespace: str) -> Iterator[Document]:
    """The same documents; objects of namespaced kinds that name no namespace are in this one."""
    scoped = {kind for own in kinds.KINDS if not own.cluster_scoped for kind in own.serves}
    for document in documents:
        yield document.within(namespace) if document.kind in scoped else document


class _Reading:
    """One snapshot while it is read."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered, self._odd = gathered, gathered.odd
        made = [(frontend, frontend.reader(gathered)) for frontend in kinds.KINDS]
        self._readers = {kind: entry for entry in made for kind in entry[0].serves}
        self._makers = makers.Makers(gathered)
        self._workloads = self._readers["Deployment"][1]
        self._finish = [*(reader.finish for _, reader in made), self._makers.finish]
        self._ignored: Counter[str] = Counter()
        self._placed: list[Origin] = []
        self._places: dict[Key, ManifestSource] = {}
        self._routes: dict[tuple[str, str], Reader | None] = {}

    def read(self, document: Document) -> None:
        """Read one object; what is wrong goes to the problems, or is isolated."""
        kind, name = document.kind, None
        treatment: str | None = PASSED_OVER
        which = (kind, document.api_version)
        if which not in self._routes:
            self._routes[which] = self._route(document)
        reader = self._routes[which]
        if reader is not None and self._is_plain(document, reader):
            return
        report = self._odd.report(document)
        if reader is None and makers.has_template(document):
            reader, kind = self._workloads, f"{kind}.{document.group}"
        if reader is not None:
            name = reader.read(document, report)
        else:
            self._ignored[f"{document.api_version} {kind}"] += 1
            self._makers.note(document)
            meant = unread.passed_over(document, report, kinds.KINDS)
            where = None if meant else unread.place(document)
            if where is not None:
                self._gathered.unread.append(unread.policy(document, report, where))
            kind = meant or kind
        if report.failed and self._odd.isolates:
            _, reader = self._readers.get(kind, (None, reader))
            if reader is not None:
                name, treatment = reader.stand_in(document, kind, report)
        if name is not None and name[0] == DEFAULT_NAMESPACE and names_no_namespace(document):
            self._placed.append(Origin(kind, *name, (), document.source))
        if name is not None:
            treatment = self._once(document, kind, name, report) or treatment
        self._odd.hand_on(document, kind, report, treatment)

    def _is_plain(self, document: Document, reader: Reader) -> bool:
        """Whether an object was read at once, and is the only one of its name."""
        name, source = reader.plain(document), document.source
        if name is None:
            return False
        return self._places.setdefault((document.kind, *name), source) is source

    def _route(self, document: Document) -> Reader | None:
        """Who reads documents of this kind and version, if anybody does."""
        frontend, reader = self._readers.get(document.kind, (None, None))
        return reader if frontend is not None and frontend.reads(document) else None

    def _once(
        self, document: Document, kind: str, name: Name, report: ObjectProblems
    ) -> str | None:
        """Report a second object of one name; what is done about the two."""
        first = self._places.setdefault((kind, *name), document.source)
        if first is document.source:
            return None
        text = "/".join(filter(None, name))
        report.error(ROOT, f"{kind} {text} is already at {first.place()}")
        _, reader = self._readers.get(kind, (None, self._workloads))
        return reader.twice(name)

    def snapshot(self) -> Snapshot:
        """What was read."""
        gathered = self._gathered
        for finish in self._finish:
            finish()
        found = cluster.build(gathered)
        gathered.policies.extend(networkpolicy_beta.isolations(gathered))
        gathered.problems.raise_errors()
        self._warn_of_emptiness(found)
        return Snapshot(
            found,
            tuple(gathered.policies),
            gathered.problems.warnings,
            dict(sorted(self._ignored.items())),
            tuple(gathered.expectations),
            tuple(sorted(set(self._odd.found))),
            tuple(gathered.problems.passed_over),
            not_followed=tuple(sorted(gathered.problems.not_followed)),
            unread=tuple(sorted(gathered.unread)),
            unknown_pods=frozenset(gathered.unknown_pods),
            placed=tuple(self._placed),
        )

    def _warn_of_emptiness(self, found: Cluster) -> None:
        """A snapshot that cannot protect anything is more often a wrong path than a wish."""
        missing = lacking(found, self._gathered.policies)
        if missing:
            text = f"holds no {missing}: nothing is isolated"
            self._gathered.problems.add("snapshot", "", text, Severity.WARNING, "NP004")


def lacking(cluster: Cluster, policies: Sequence[Policy]) -> str:
    """What there is none of, so that nothing is isolated; empty if that is not so."""
    missing = "" if policies else "NetworkPolicy"
    if not any(pod.addresses for pod in cluster.pods):
        missing = missing or "Pod with an address"
    return missing
