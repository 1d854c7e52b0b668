"""Options that commands share, as values; those of tables are in `table_options`."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netpolc.cli import completion
from netpolc.cli.options.clusters import AskedCluster, cluster_options
from netpolc.cli.options.flows import Between as Between
from netpolc.cli.options.flows import between as between
from netpolc.cli.options.logs import log_format as log_format
from netpolc.cli.options.logs import log_records as log_records
from netpolc.cli.options.logs import span_of as span_of
from netpolc.cli.parameters import (
    FILE,
    Command,
    NamespaceName,
    NodeAddressType,
    stack,
)
from netpolc.cli.settings import NOTHING, Settings, settings_for
from netpolc.cli.terminal import warn
from netpolc.cli.unread import Heed, refuse_passed_over, refuse_unread, say_ignored
from netpolc.core.errors import Problems, UsageError
from netpolc.frontends import Semantics, Treatment

if TYPE_CHECKING:  # commands that only look at what is loaded have these options, and read nothing
    from netpolc.apiserver.reading import ClusterState
    from netpolc.compiler import Program
    from netpolc.core.cluster import Snapshot
    from netpolc.manifests import Content, File, Given, Seen
    from netpolc.manifests.rendering import Values

paths = click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=FILE)
optional_paths = click.argument("paths", metavar="[PATH]...", nargs=-1, type=FILE)
node = click.option(
    "--node",
    metavar="NAME",
    shell_complete=completion.complete_nodes,
    help="The node whose pods are local.",
)
all_pods = click.option("--all-pods", is_flag=True, help="Take every pod of the snapshot as local.")


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


def cluster(enforces: bool = False, narrows: bool = True) -> Callable[[Command], Command]:
    """Options of a live cluster, which becomes a part of the parameter `reading`; stands below
    what makes that.

    Where a ruleset is made (`enforces`), a kind that cannot be listed is an error. `narrows` adds
    `-n`: only one namespace is read.
    """

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(
            *args: Any, reading: Reading, asked_cluster: AskedCluster | None, **rest: Any
        ) -> None:
            if asked_cluster is not None:
                found, space = asked_cluster.read(enforces)
                space = reading.default_namespace or space
                reading = replace(reading, cluster=found, default_namespace=space)
            elif "paths" in rest and not rest["paths"] and not rest.get("explain"):
                raise UsageError("give PATHs, or a live cluster: --context NAME, or -A")
            function(*args, reading=reading, **rest)

        return cluster_options(command, narrows)

    return decorate


def reading(function: Command) -> Command:
    """Options that become the parameter `reading: Reading`.

    Of commands that say what a node enforces: no file of settings is believed (docs/security.md).
    """
    return _reading(function)


def configured_reading(function: Command) -> Command:
    """The same of commands that only tell: they ask the nearest file of settings, and render
    kustomizations and charts.
    """
    return stack(
        click.option(
            "--no-config",
            "is_configured",
            is_flag=True,
            help="Believe no .netpolc.toml or pyproject.toml.",
        ),
        click.option("--release", metavar="NAME", help="Of Helm charts [default: their folder]."),
        click.option(
            "--values",
            multiple=True,
            metavar="FILE",
            type=FILE,
            help="For Helm charts; again for more.",
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="The same, one value.",
        ),
    )(_reading(function))


def _reading(function: Command) -> Command:
    @wraps(function)
    def command(
        *args: Any,
        semantics: str,
        no_strict: bool,
        odd_objects: str | None,
        verbose: bool,
        node_address: tuple[tuple[str, int], ...],
        exclude: tuple[str, ...],
        default_namespace: str | None,
        raw: bool,
        unread: str | None,
        is_configured: bool = True,
        release: str | None = None,
        values: tuple[str, ...] | None = None,
        settings: tuple[str, ...] = (),
        **rest: Any,
    ) -> None:
        made = None
        if values is not None:
            from netpolc.manifests.rendering import Values

            made = Values(release, values, settings)
        chosen = Reading(
            semantics,
            not no_strict,
            verbose,
            node_address,
            odd_objects,
            exclude,
            default_namespace,
            raw,
            made,
            is_configured,
            unread=unread,
        )
        function(*args, reading=chosen, **rest)

    return stack(
        click.option(
            "--semantics",
            type=click.Choice([s.value for s in Semantics]),
            default=Semantics.CURRENT.value,
            show_default=True,
            help="What policies mean: today's API, or that of Kubernetes 1.3-1.6.",
        ),
        click.option(
            "--no-strict",
            is_flag=True,
            help="Unknown and duplicate fields are warnings, not errors.",
        ),
        click.option(
            "--node-address",
            type=NodeAddressType(),
            multiple=True,
            metavar="NODE=ADDRESS",
            shell_complete=completion.complete_nodes,
            help="An address of a node that its Node object does not list; again for more.",
        ),
        click.option(
            "--odd-objects",
            type=click.Choice([treatment.value for treatment in Treatment]),
            help="An object that is not valid: refuse everything, or isolate what it is about and "
            "read on [default: refuse; isolate in apply --watch, status and top].",
        ),
        click.option(
            "--exclude",
            multiple=True,
            metavar="GLOB",
            help="Pass over files and folders inside of folders that are given, as in vendor or "
            "'k8s/old/*.yaml'; again for more.",
        ),
        click.option(
            "--default-namespace",
            type=NamespaceName(),
            metavar="NAME",
            shell_complete=completion.complete_namespaces,
            help="The namespace of objects that name none [default: default].",
        ),
        click.option(
            "--raw",
            is_flag=True,
            help="Read files of kustomizations as they are, which is not what would be applied.",
        ),
        click.option(
            "--unread",
            type=click.Choice([own.value for own in Heed]),
            help="Policies of kinds that are not judged (Cilium, Calico, Istio, ...): say so, or "
            "refuse them [default: warn].",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Name what was ignored."),
    )(command)
