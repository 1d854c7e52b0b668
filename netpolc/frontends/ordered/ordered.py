"""The cluster-scoped policies: rules in order, of which the first that matches in a tier decides.

Comes in: one manifest of policy.networking.k8s.io and the `Dialect` of its kind and version. Goes
out: one `Policy` of an ordered tier. Refused: what an API server with the CRDs of the experimental
channel refuses, in its words, and a subject that cannot be read, because then nobody knows whom the
policy is about. What a server stores though it is wrong is `ordered_rules.py`'s to close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from netpolc.core.errors import ROOT, ObjectProblems, Problems
from netpolc.core.ir import Direction, Origin, Policy, Rule
from netpolc.frontends import Semantics
from netpolc.frontends.fields import Fields, metadata
from netpolc.frontends.frontend import Gathered
from netpolc.frontends.naming import NAME
from netpolc.frontends.odd import UNKNOWN_FIELD, OddObjects, body_of
from netpolc.frontends.ordered.ordered_fields import BEFORE_ALL, Dialect, PodFields, at_most
from netpolc.frontends.ordered.ordered_rules import Known, RuleReader
from netpolc.frontends.ordered.plain import PlainReader
from netpolc.frontends.policies import OBJECT_FIELDS, SPEC, audited
from netpolc.frontends.policy_kinds import PolicyObjects
from netpolc.manifests import Document

DialectOf = Callable[[Document], Dialect]
_OWN_FIELDS = ("subject", "ingress", "egress")


def lower(
    document: Document,
    problems: ObjectProblems,
    strict: bool,
    dialect: Dialect,
    known: Known | None = None,
) -> Policy | None:
    """The policy of a manifest; None when it has errors, which are then in `problems`. What is
    `known` from other manifests of the kind is not read again.
    """
    body = document.fields(problems, strict)
    if body is None:
        return None
    fields = Fields(problems, strict, dialect.hints)
    fields.mapping(body, ROOT, OBJECT_FIELDS)
    named = metadata(fields, body.get("metadata"), ROOT / "metadata", cluster_scoped=True)
    if dialect.only and named.name not in ("", dialect.only):
        said = f'Only one baseline admin network policy with metadata.name="{dialect.only}" can be'
        problems.error(NAME, f"Invalid value: {said} created in the cluster")
    problems.waive(named.waived)
    spec = body.get("spec")
    if spec is None:
        problems.error(SPEC, "Required value")
        return None
    spec = fields.mapping(spec, SPEC, (*dialect.ranked, *_OWN_FIELDS))
    if spec is None:
        return None
    tier, priority = dialect.rank(fields, spec)
    # A field that nobody knows would leave it open whom the policy is about, also if not strict.
    exact = fields if strict else Fields(problems, True, dialect.hints)
    subject = PodFields(exact, dialect.namespaces_given, problems).subject(spec)
    origin = named.origin(document.kind, document.source)
    reader = RuleReader(dialect, problems, strict, origin, {} if known is None else known)
    rules = tuple(rule for way in Direction for rule in _rules(reader, fields, spec, way))
    tried = audited(fields, body)
    if problems.failed or subject is None:
        return None
    written = frozenset(way for way in Direction if spec.get(str(way)) is not None)
    isolates = frozenset[Direction]()
    return Policy(
        tier,
        priority,
        subject,
        isolates,
        rules,
        origin,
        written,
        waived=named.waived,
        audited=tried,
    )


def _rules(
    reader: RuleReader, fields: Fields, spec: dict[str, Any], direction: Direction
) -> Iterable[Rule]:
    path = SPEC / str(direction)
    values = fields.sequence(spec.get(str(direction)), path)
    at_most(fields, len(values), reader.dialect.most, path)
    return (reader.read(direction, value, path / n) for n, value in enumerate(values))


def closing(
    document: Document, kind: str, report: ObjectProblems, odd: OddObjects, dialect: Dialect
) -> Policy | None:
    """What denies everything that an odd policy is about, in the directions it has rules for.

    Where its tier or its priority cannot be read it is asked before all others, in the Admin tier
    if that is not known. None if its subject cannot be read: then nobody knows whom it is about.
    """
    spec = body_of(document).get("spec")
    if not isinstance(spec, dict):
        return None
    aside = ObjectProblems(Problems(), document.source.place)
    fields = Fields(aside, strict=True)
    subject = PodFields(fields, dialect.namespaces_given, aside).subject(spec)
    if subject is None or aside.failed:
        return None
    tier, priority = dialect.rank(fields, spec)
    priority = BEFORE_ALL if aside.failed else priority
    origin = Origin(kind, *odd.named(document, kind), (), document.source)
    policy = Policy(tier, priority, subject, frozenset(), (), origin)
    ways = _directions(spec, report.refused, dialect)
    return Policy(tier, priority, subject, frozenset(), tuple(map(policy.denial, ways)), origin)


def _directions(spec: dict[str, Any], paths: list[str], dialect: Dialect) -> list[Direction]:
    """Those with rules; both if a field that nobody knows may have been one of them."""
    known = {*OBJECT_FIELDS, *(f"spec.{name}" for name in (*dialect.ranked, *_OWN_FIELDS))}
    if any(UNKNOWN_FIELD.fullmatch(path) and path not in known for path in paths):
        return list(Direction)
    return [way for way in Direction if spec.get(str(way)) not in (None, [])]


def ordered_policies(
    gathered: Gathered, dialect_of: DialectOf, plain: type[PlainReader] | None = None
) -> PolicyObjects:
    """The reader of one kind; `plain` reads those in which nothing is odd."""
    known: Known = {}
    at_once = None if plain is None else plain()

    def read(document: Document, report: ObjectProblems, strict: bool) -> Policy | None:
        if gathered.semantics is Semantics.V1_6:
            report.error(ROOT / "kind", f"{document.kind} did not exist in Kubernetes 1.6")
            return None
        found = None if at_once is None else at_once.lower(document)
        return found or lower(document, report, strict, dialect_of(document), known)

    def close(document: Document, kind: str, report: ObjectProblems) -> Policy | None:
        return closing(document, kind, report, gathered.odd, dialect_of(document))

    return PolicyObjects(gathered, read, close)
