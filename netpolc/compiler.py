"""The pipeline, on one page: manifests -> Snapshot (Policy IR) -> Program -> what a backend emits.

    documents = manifests.read(paths)                 files, folders, stdin; YAML and JSON
    snapshot  = frontends.reading                     one Policy an object, one Cluster
    program   = identify | resolve | arrange | verify
    output    = backends                              nft (a node's ruleset), ir (the tuples)

Everything before the Program reports its problems together, once. Frontends and passes are imported
where they are called: commands that only look at what is loaded read no manifests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from netpolc.core.cluster import Odd, Snapshot
from netpolc.core.errors import MENDED, Problems, Severity, UsageError
from netpolc.core.program import Program as ResolvedProgram
from netpolc.frontends import Semantics, Treatment
from netpolc.frontends.fields import DEFAULT_NAMESPACE, dns_label_problems
from netpolc.manifests import Document, File, Given, Seen, excluding, read, read_objects

if TYPE_CHECKING:
    from netpolc.backends import nft
    from netpolc.passes.resolve import Resolver

_Choice = TypeVar("_Choice", bound=Enum)


class Program(ResolvedProgram):
    """A compiled snapshot: the resolved IR, and what the backends make of it.

    Backends are imported when they are asked for: most commands need none.
    """

    def ruleset(self, node: str | None = None, options: nft.Options | None = None) -> nft.Ruleset:
        """The nftables ruleset of a node; without one every pod of the snapshot is local.

        `UsageError` when the node is unknown, `UnsupportedError` for what nftables cannot express.
        """
        from netpolc.backends import nft

        return self._rulesets.of(node, options or nft.Options())

    @cached_property
    def _rulesets(self) -> nft.Rulesets:
        from netpolc.backends import nft

        return nft.Rulesets(self)

    def document(self) -> str:
        """The tuples as JSON (docs/ir.md); every Program has them."""
        from netpolc.backends import ir

        return ir.emit(self)


def load(
    paths: Iterable[Given],
    *,
    semantics: str = "current",
    strict: bool = True,
    odd_objects: str = "refuse",
    exclude: Iterable[str] = (),
    default_namespace: str = DEFAULT_NAMESPACE,
    raw: bool = False,
    seen: Seen | None = None,
) -> Snapshot:
    """Read and validate manifests: files, folders, `-` for standard input, files in memory.

    In folders, what looks like no Kubernetes object is passed over (`Snapshot.passed_over`), and
    what one of the shell patterns `exclude` matches: the name of a file or folder, or its path from
    here if the pattern has a `/`. Objects that name no namespace are in `default_namespace`.
    Folders with a kustomization or a Helm chart are refused, because their files are not what is
    applied; if `raw`, files of kustomizations are read as they are. `seen` is called with each file
    that is read and what it holds.

    `semantics` is `current` or `v1.6`; without `strict`, unknown and duplicate fields are warnings.
    With `odd_objects="isolate"` an object that would be refused is enforced in the strict direction
    and told (`Snapshot.odd`, docs/odd-objects.md); a file that cannot be parsed is refused all the
    same. Raises `InputError` with every problem found, each with `file:line:column`, and
    `UsageError` for what is no list of paths and for another `semantics` or `odd_objects`.
    """
    from netpolc.frontends.cluster.pods import scan
    from netpolc.frontends.objects import PodItem
    from netpolc.frontends.reading import within

    problems = Problems()
    excluded = excluding([exclude] if isinstance(exclude, str) else exclude)
    documents = read(_paths(paths), problems, PodItem, excluded, raw, scan, seen)
    if default_namespace != DEFAULT_NAMESPACE:
        for problem in dns_label_problems(default_namespace):
            raise UsageError(f"default_namespace: {default_namespace!r}: {problem}")
        documents = within(documents, default_namespace)
    return _read(documents, problems, semantics, strict, odd_objects)


def load_objects(
    objects: Iterable[object],
    *,
    semantics: str = "current",
    strict: bool = True,
    odd_objects: str = "refuse",
) -> Snapshot:
    """The same for manifests that are already parsed: mappings in the form that the API has.

    Raises `InputError` with `objects[3]: field.path: ...` also for what JSON has no word for: a
    number that is none (`nan`), bytes, other keys than text, objects of a client's own classes; for
    one object instead of a list; `UsageError` for another `semantics` or `odd_objects`.
    """
    problems = Problems()
    return _read(read_objects(objects, problems), problems, semantics, strict, odd_objects)


def compile(snapshot: Snapshot) -> Program:
    """Resolve a snapshot to a Program.

    `UsageError` for anything but a Snapshot; what cannot be enforced was refused when it was read.
    """
    if not isinstance(snapshot, Snapshot):
        raise UsageError(
            f"compile takes a Snapshot and no {type(snapshot).__name__}: load and load_objects "
            "make one"
        )
    return resolved(snapshot)[0]


def resolved(snapshot: Snapshot) -> tuple[Program, Resolver]:
    """The same, with what resolved it, for who has other policies resolved later."""
    from netpolc.passes.arrange import arrange, arrange_tried
    from netpolc.passes.identify import identify
    from netpolc.passes.resolve import Resolver

    identification = identify(snapshot.cluster, snapshot.policies)
    resolver = Resolver(identification)
    policies, identities = snapshot.policies, identification.identities
    combinations = arrange(policies, identities, resolver)
    tried = arrange_tried(policies, identities, resolver, combinations)
    odd = tuple(map(str, snapshot.odd))
    program = Program(snapshot.cluster, identities, combinations, tried, odd, snapshot.unread)
    program.verify()
    return program, resolver


def _paths(paths: Iterable[Given]) -> tuple[Given, ...]:
    if isinstance(paths, str | File) or hasattr(paths, "__fspath__"):
        raise UsageError(f"paths: one path and no list of them: give [{str(paths)!r}]")
    kind = type(paths).__name__
    if isinstance(paths, bytes | Mapping) or hasattr(paths, "read"):
        raise UsageError(f"paths: {kind} is no list of paths: load_objects takes parsed manifests")
    if not isinstance(paths, Iterable):
        raise UsageError(f"paths: {kind} is no list of paths")
    given = tuple(paths)
    for number, path in enumerate(given):
        if not isinstance(path, str | File) and not hasattr(path, "__fspath__"):
            raise UsageError(f"paths[{number}]: {type(path).__name__} is no path")
    return given


def _read(
    documents: Iterable[Document], problems: Problems, semantics: str, strict: bool, odd: str
) -> Snapshot:
    """The snapshot of some documents."""
    from netpolc.frontends.reading import read_snapshot

    treatment, meant = (
        _one_of(Treatment, "odd_objects", odd),
        _one_of(Semantics, "semantics", semantics),
    )
    return within_bounds(read_snapshot(documents, problems, meant, strict, treatment), treatment)


def within_bounds(snapshot: Snapshot, treatment: Treatment) -> Snapshot:
    """The same snapshot, in which policies past a bound (`passes/bound.py`) are odd objects.

    `InputError` if those are refused.
    """
    from netpolc.frontends.odd import treated
    from netpolc.passes.bound import bounded

    kept, large = bounded(snapshot.cluster, snapshot.policies)
    if not large:
        return snapshot
    problems = Problems()
    problems.diagnostics += snapshot.warnings
    found = list(snapshot.odd)
    for policy, reason in large:
        origin = policy.origin
        told = f"{origin}: too large: {reason}"
        if treatment is Treatment.REFUSE:
            problems.add(origin.place(), "", told)
            continue
        done = treated(policy)
        problems.add(origin.place(), "", f"{told}; {done}", Severity.WARNING, MENDED)
        found.append(Odd(origin.kind, origin.namespace, origin.name, f"too large, {done}"))
    problems.raise_errors()
    return replace(
        snapshot, policies=kept, warnings=problems.warnings, odd=tuple(sorted(set(found)))
    )


def _one_of(choices: type[_Choice], name: str, value: str) -> _Choice:
    if value not in [choice.value for choice in choices]:
        names = " or ".join(repr(str(choice.value)) for choice in choices)
        raise UsageError(f"{name} {value!r} is not {names}")
    return choices(value)
