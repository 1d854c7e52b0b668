"""The pipeline, on one page: manifests -> Snapshot (Policy IR) -> Program -> what a backend emits.

    documents = manifests.read(paths)                 files, folders, stdin; YAML and JSON
    snapshot  = frontends + frontends.cluster         one Policy an object, one Cluster
    program   = identify | resolve | arrange | verify
    output    = backends                              nft (a node's ruleset), ir (the tuples)

Everything before the Program reports its problems together, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property

from netpolc.backends import ir, nft
from netpolc.cluster import Cluster, Namespace, Snapshot
from netpolc.errors import ROOT, ObjectProblems, Problems, Severity
from netpolc.expectation import Expectation
from netpolc.frontends import FRONTENDS, Semantics, expectations, networkpolicy_beta, unread
from netpolc.frontends.cluster import GROUPS, ClusterBuilder
from netpolc.ir import Policy
from netpolc.manifests import Document, Given, ManifestSource, read, read_objects
from netpolc.passes.arrange import arrange
from netpolc.passes.identify import identify
from netpolc.passes.resolve import Resolver
from netpolc.program import Program as ResolvedProgram


class Program(ResolvedProgram):
    """A compiled snapshot: the resolved IR, and what the backends make of it."""

    def ruleset(self, node: str | None = None, options: nft.Options | None = None) -> nft.Ruleset:
        """The nftables ruleset of a node; without one every pod of the snapshot is local.

        `UsageError` when the node is unknown, `UnsupportedError` for what nftables cannot express.
        """
        return self._lowering.ruleset(node, options or nft.Options())

    @cached_property
    def _lowering(self) -> nft.Lowering:
        return nft.Lowering(self)

    def document(self) -> str:
        """The tuples as JSON (docs/ir.md)."""
        return ir.emit(self)


def load(paths: Iterable[Given], *, semantics: str = "current", strict: bool = True) -> Snapshot:
    """Read and validate manifests: files, folders, `-` for standard input, files in memory.

    `semantics` is `current` or `v1.6`; without `strict`, unknown and duplicate fields are warnings.
    Raises `InputError` with every problem found, each with `file:line:column`.
    """
    problems = Problems()
    documents = read(tuple(paths), problems)
    return _snapshot(documents, problems, Semantics(semantics), strict)


def load_objects(
    objects: Iterable[object], *, semantics: str = "current", strict: bool = True
) -> Snapshot:
    """The same for manifests that are already parsed (dicts, as API clients give them)."""
    problems = Problems()
    documents = read_objects(objects, problems)
    return _snapshot(documents, problems, Semantics(semantics), strict)


def compile(snapshot: Snapshot) -> Program:
    """Resolve a snapshot to a Program."""
    identification = identify(snapshot.cluster, snapshot.policies)
    resolver = Resolver(identification)
    combinations = arrange(snapshot.policies, identification.identities, resolver)
    program = Program(snapshot.cluster, identification.identities, combinations)
    program.verify()
    return program


def _snapshot(
    documents: Iterable[Document], problems: Problems, semantics: Semantics, strict: bool
) -> Snapshot:
    builder = ClusterBuilder(problems, strict)
    policies: list[Policy] = []
    ignored: Counter[str] = Counter()
    expected: list[Expectation] = []
    places: dict[tuple[str, str, str], ManifestSource] = {}
    for document in documents:
        report = ObjectProblems(problems, document.source.place)
        frontend = FRONTENDS.get((semantics, document.api_version, document.kind))
        name: tuple[str, str] | None = None
        if frontend is not None:
            policy = frontend(document, report, strict)
            if policy is not None:
                policies.append(policy)
                name = policy.origin.namespace, policy.origin.name
        elif (document.api_version, document.kind) == (expectations.API_VERSION, expectations.KIND):
            expected.extend(expectations.lower(document, report, strict))
        elif document.group in GROUPS.get(document.kind, ()):
            name = builder.add(document)
        else:
            ignored[f"{document.api_version} {document.kind}"] += 1
            unread.check(document, report)
        if name is not None:
            first = places.setdefault((document.kind, *name), document.source)
            if first is not document.source:
                text = "/".join(filter(None, name))
                message = f"{document.kind} {text} is already at {first.place()}"
                report.error(ROOT, message)
    cluster = builder.build({policy.origin.namespace for policy in policies} - {""})
    policies.extend(_isolations(cluster.namespaces.values(), builder, semantics, problems))
    problems.raise_errors()
    _warn_of_emptiness(cluster, policies, problems)
    found = dict(sorted(ignored.items()))
    return Snapshot(cluster, tuple(policies), problems.warnings, found, tuple(expected))


def _warn_of_emptiness(cluster: Cluster, policies: list[Policy], problems: Problems) -> None:
    """A snapshot that cannot protect anything is more often a wrong path than a wish."""
    missing = "" if policies else "NetworkPolicy"
    if not any(pod.addresses for pod in cluster.pods):
        missing = missing or "Pod with an address"
    if missing:
        text = f"holds no {missing}: nothing is isolated"
        problems.add("snapshot", "", text, Severity.WARNING, "NP004")


def _isolations(
    namespaces: Iterable[Namespace],
    builder: ClusterBuilder,
    semantics: Semantics,
    problems: Problems,
) -> Iterator[Policy]:
    """What the namespaces' annotations ask for (Kubernetes 1.3 to 1.6)."""
    for namespace in namespaces:
        annotations = builder.annotations.get(namespace.name)
        if annotations and namespace.origin is not None:
            place = namespace.origin.source.place
            report = ObjectProblems(problems, place, namespace.waived)
            legacy = semantics is Semantics.V1_6
            policy = networkpolicy_beta.isolation(namespace, annotations, legacy, report)
            if policy is not None:
                yield policy
