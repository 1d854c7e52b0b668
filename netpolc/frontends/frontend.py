"""What a frontend is: a reader for the objects of some kinds, and what all readers share.

Comes in: documents, each to the reader of its kind (`kinds.py` has them all). Goes out: what they
say, in `Gathered`. A kind is one file with a `Frontend`, one line in `kinds.KINDS`, and its cases.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from netpolc.core.cluster import Namespace, Node, Owner, Pod, Publication, Service, Unread
from netpolc.core.errors import ROOT, ObjectProblems, Problems
from netpolc.core.expectation import Expectation
from netpolc.core.ir import Policy
from netpolc.core.nets import Span
from netpolc.frontends import Semantics
from netpolc.frontends.fields import METADATA_FIELDS, Fields
from netpolc.frontends.naming import Names
from netpolc.frontends.odd import OddObjects
from netpolc.manifests import Document

Name = tuple[str, str]
"""Namespace ("" of what is in none) and name of an object."""
PASSED_OVER = "it is passed over"


@dataclass(eq=False)
class Gathered:
    """What has been read so far of one snapshot, whatever kinds it came from."""

    problems: Problems
    semantics: Semantics
    strict: bool
    odd: OddObjects
    names: Names = field(default_factory=Names)
    policies: list[Policy] = field(default_factory=list)
    namespaces: dict[str, Namespace] = field(default_factory=dict)
    annotations: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of namespaces, by their name."""
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[Name, Pod] = field(default_factory=dict)
    documents: dict[Name, Document] = field(default_factory=dict)
    """Of pods: more can be asked of them than a `Pod` holds."""
    owners: set[tuple[str, str, str]] = field(default_factory=set)
    """Namespace, kind and name of everything that some pod names as its owner."""
    templates: list[Pod] = field(default_factory=list)
    """Pods without address, one for each workload that has none."""
    controllers: dict[tuple[str, str, str], Owner | None] = field(default_factory=dict)
    """The owner of every workload that is here."""
    expectations: list[Expectation] = field(default_factory=list)
    services: dict[Name, Service] = field(default_factory=dict)
    service_ranges: list[Span] = field(default_factory=list)
    published: list[Publication] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    unseen: set[str] = field(default_factory=set)
    """Namespaces in which objects of other projects make pods that may not be here."""
    unknown_pods: set[str] = field(default_factory=set)
    """Those of them of which no pod is known at all (NP013)."""


class Reader(ABC):
    """Reads the objects of one frontend, in any order."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    @abstractmethod
    def read(self, document: Document, report: ObjectProblems) -> Name | None:
        """Read one object; its name, if there must be no other object of that name.

        What is wrong with it is in `report`; then nothing of it was gathered.
        """

    def plain(self, document: Document) -> Name | None:
        """The same at once of an object in which nothing is odd; None of one that has to be `read`,
        of which nothing was gathered. Only kinds that come by the thousand have it.
        """
        return None

    def stand_in(
        self, document: Document, kind: str, report: ObjectProblems
    ) -> tuple[Name | None, str | None]:
        """Gather what can be said of an object that `read` refused, where odd objects are isolated
        (`odd.py`): its name, and what is done (None: it stays refused).

        `kind` is what the object is; where it is misspelt the document has another.
        """
        return None, PASSED_OVER

    def twice(self, name: Name) -> str:
        """Decide about two objects of one name, of which the second was read just now; what is
        done.
        """
        return PASSED_OVER

    def finish(self) -> None:
        """Gather what can only be told when all objects are read; does nothing here."""
        return


@dataclass(frozen=True, slots=True, eq=False)
class Frontend:
    """Some kinds and who reads them.

    `serves` has by kind where it is read from: API groups (the core is empty), of which any version
    is read, or single versions, `networking.k8s.io/v1`. Objects of `cluster_scoped` kinds are in no
    namespace. Of kinds that are not `judged` no policy takes notice: nothing about them is refused.
    """

    serves: Mapping[str, tuple[str, ...]]
    reader: Callable[[Gathered], Reader]
    cluster_scoped: bool = False
    judged: bool = True

    def reads(self, document: Document) -> bool:
        """Whether an object is of one of the kinds, from where they are read."""
        places = self.serves.get(document.kind, ())
        return document.group in places or document.api_version in places


def check_fields(document: Document, report: ObjectProblems, strict: bool) -> None:
    """Duplicate fields, and unknown ones of `metadata`, also in templates of pods."""
    fields = Fields(report, strict)
    value: Any = document.fields(report, strict)
    path = ROOT
    while isinstance(value, dict):
        metadata = value.get("metadata")
        if isinstance(metadata, dict):
            fields.mapping(metadata, path / "metadata", METADATA_FIELDS)
            if document.kind != "Namespace":  # whose annotations are all decoded
                fields.texts(metadata.get("annotations"), path / "metadata" / "annotations")
        spec = value.get("spec")
        if not isinstance(spec, dict):
            break
        below = "jobTemplate" if "jobTemplate" in spec else "template"
        path, value = path / "spec" / below, spec.get(below)
