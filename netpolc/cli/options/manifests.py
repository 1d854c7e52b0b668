"""How manifests are read, as a value: files and folders, what is rendered, a live cluster.

Comes in: what the options of a command say, and PATHs. Goes out: a `Snapshot`, and what is said of
it, on standard error. Refused: what `netpolc.load` refuses, and what settings and options say that
does not go together (`UsageError`). Commands that only look at what is loaded have these options,
too, and read nothing: so what reads is imported where something is read.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netpolc.cli.settings import NOTHING, Settings, settings_for
from netpolc.cli.terminal import warn
from netpolc.cli.unread import Heed, refuse_passed_over, refuse_unread, say_ignored
from netpolc.core.errors import Problems, UsageError
from netpolc.frontends import Treatment

if TYPE_CHECKING:
    from netpolc.apiserver.reading import ClusterState
    from netpolc.compiler import Program
    from netpolc.core.cluster import Snapshot
    from netpolc.manifests import Content, File, Given, Seen
    from netpolc.manifests.rendering import Values


@dataclass(frozen=True, slots=True)
class Reading:
    """How manifests are read."""

    semantics: str
    strict: bool
    verbose: bool
    node_addresses: tuple[tuple[str, int], ...] = ()
    odd_objects: str | None = None
    """None where nobody said: refuse, unless the command has its own default."""
    exclude: tuple[str, ...] = ()
    default_namespace: str | None = None
    raw: bool = False
    values: Values | None = None
    """What charts are rendered with; None where nothing is rendered or passed over."""
    is_configured: bool = True
    """Whether nothing is left to be asked of a file of settings."""
    settings: Settings = NOTHING
    unread: str | None = None
    """How policies of kinds that are not judged are taken; None where nobody said."""
    cluster: ClusterState | None = None
    """A live cluster that is read, too; what is given besides is applied over it."""

    def configured(self, paths: Sequence[Given]) -> Reading:
        """The same with what the nearest file of settings says, unless that is not to be asked."""
        if self.is_configured:
            return self
        from netpolc.frontends.fields import dns_label_problems

        own = settings_for(paths)
        space = self.default_namespace or own.default_namespace
        if own.default_namespace and any(dns_label_problems(own.default_namespace)):
            raise own.refuse("default-namespace", "is no name of a namespace")
        return replace(
            self,
            exclude=(*self.exclude, *own.exclude),
            default_namespace=space,
            is_configured=True,
            settings=own,
        )

    def around_odd(self) -> Reading:
        """The same, reading around odd objects unless told to refuse them."""
        return replace(self, odd_objects=self.odd_objects or Treatment.ISOLATE.value)

    def program(self, paths: Sequence[Given]) -> Program:
        """Load and compile; warnings and what was ignored go to standard error."""
        from netpolc.compiler import compile

        return compile(self.snapshot(paths))

    def again(self, paths: Sequence[Given]) -> Snapshot:
        """Load, saying nothing: what was said the first time."""
        return self._load(paths)

    def snapshot(
        self, paths: Sequence[Given], quiet: Container[str] = (), seen: Seen | None = None
    ) -> Snapshot:
        """Load, with the same on standard error except for warnings of the `quiet` codes; `seen` is
        told what each file holds.
        """
        snapshot = self._load(paths, seen)
        tells = self.values is not None  # enforces nothing, so a template is as good as a pod
        for warning in snapshot.warnings:
            if warning.code not in quiet and not (tells and warning.code == "NP004"):
                warn(str(warning))
        self.say_ignored(snapshot)
        return snapshot

    def contents(self, paths: Sequence[Given]) -> list[tuple[File, Content]] | None:
        """What the files in folders hold at one moment; None where they are not read as they are,
        or something is to be said of them, as `snapshot` does.
        """
        from netpolc.manifests import excluding, settled

        chosen = self.configured(paths)
        if self.raw or self.values is not None or self.cluster is not None:
            return None
        if chosen.settings.manifests():
            return None
        problems = Problems()
        found = settled(paths, problems, excluding(chosen.exclude))
        said = problems.diagnostics or problems.passed_over or problems.not_followed
        return None if said else found

    def each(self, paths: Sequence[Given]) -> list[Snapshot]:
        """Load, saying nothing of warnings: a snapshot for each of the kustomizations and charts
        that make objects of the same names, one where there are none.
        """
        from netpolc.manifests.rendering import alternatives

        chosen = self.configured(paths)
        given, patterns = self._rendered(paths, chosen)
        several = alternatives(given) if patterns else [("", given)]
        return [self._read(own, patterns, chosen) for _, own in several]

    def edited(self, paths: Sequence[Given], texts: Mapping[str, str]) -> Snapshot:
        """Load, saying nothing, with other texts of some files."""
        from netpolc.manifests import excluding, find

        chosen = self.configured(paths)
        given, patterns = self._rendered(paths, chosen, is_quiet=True)
        files = find(given, Problems(), excluding((*chosen.exclude, *patterns)), self.raw)
        changed = [
            replace(own, data=texts[own.name].encode()) if own.name in texts else own
            for own in files
        ]
        return self._read(changed, patterns, chosen)

    def _load(self, paths: Sequence[Given], seen: Seen | None = None) -> Snapshot:
        from netpolc.manifests.rendering import alternatives

        chosen = self.configured(paths)
        given, patterns = self._rendered(paths, chosen)
        several = alternatives(given) if patterns else []
        if len(several) > 1:
            names = ", ".join(name for name, _ in several)
            raise UsageError(f"{names} make objects of the same names: give one of them at a time")
        return self._read(given, patterns, chosen, seen)

    def _read(
        self,
        given: Sequence[Given],
        patterns: Sequence[str],
        chosen: Reading,
        seen: Seen | None = None,
    ) -> Snapshot:
        from netpolc.compiler import load
        from netpolc.frontends.fields import DEFAULT_NAMESPACE

        given = [*given, *chosen.settings.manifests()]
        if self.cluster is not None:
            given += self._live(given, patterns, chosen)
        snapshot = load(
            given,
            semantics=self.semantics,
            strict=self.strict,
            odd_objects=self.odd_objects or Treatment.REFUSE.value,
            exclude=(*chosen.exclude, *patterns),
            default_namespace=chosen.default_namespace or DEFAULT_NAMESPACE,
            raw=self.raw,
            seen=seen,
        )
        if chosen.heed() is Heed.ERROR:
            refuse_unread(snapshot)
        if self.values is None and not self.raw:
            refuse_passed_over(snapshot.passed_over)
        for node, address in self.node_addresses:
            if node not in snapshot.cluster.nodes:
                raise UsageError(f"--node-address: unknown node {node!r}")
            snapshot = replace(snapshot, cluster=snapshot.cluster.knowing(node, [address]))
        return snapshot

    def _live(self, given: Sequence[Given], patterns: Sequence[str], chosen: Reading) -> list[File]:
        """What the cluster has and nothing that is given takes the place of."""
        from netpolc.apiserver.reading import names_of
        from netpolc.frontends.fields import DEFAULT_NAMESPACE
        from netpolc.manifests import excluding, read

        assert self.cluster is not None
        excluded = excluding((*chosen.exclude, *patterns))
        documents = read(given, Problems(), excluded=excluded, raw=self.raw) if given else ()
        space = chosen.default_namespace or DEFAULT_NAMESPACE
        return self.cluster.files(frozenset(names_of(documents, space)))

    def _rendered(
        self, paths: Sequence[Given], chosen: Reading, is_quiet: bool = False
    ) -> tuple[Sequence[Given], Sequence[str]]:
        """What to read, and what of it not, once kustomizations and charts are rendered."""
        if self.raw and not is_quiet:
            warn("--raw: kustomizations are read as they are, not as they would be applied")
        if self.values is None or self.raw:
            return paths, ()
        from netpolc.frontends.fields import DEFAULT_NAMESPACE
        from netpolc.manifests import excluding
        from netpolc.manifests.rendering import rendered

        values = replace(self.values, namespace=chosen.default_namespace or DEFAULT_NAMESPACE)
        given, patterns, said = rendered(paths, excluding(chosen.exclude), values)
        for line in () if is_quiet else said:
            warn(line)
        return given, patterns

    def heed(self) -> Heed:
        """How policies of kinds that are not judged are taken, as it is asked for or set."""
        name = self.unread or self.settings.unread or Heed.WARN.value
        if name not in [own.value for own in Heed]:
            raise self.settings.refuse("unread", f"{name!r} is none of {', '.join(Heed)}")
        return Heed(name)

    def say_ignored(self, snapshot: Snapshot) -> None:
        """What was not read at all, on standard error."""
        say_ignored(snapshot, self.verbose)
