"""Options that commands share, as values; those of tables are in `table_options`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import click

from netpolc.cli import completion
from netpolc.cli.options.clusters import AskedCluster, cluster_options
from netpolc.cli.options.flows import Between as Between
from netpolc.cli.options.flows import between as between
from netpolc.cli.options.logs import log_format as log_format
from netpolc.cli.options.logs import log_records as log_records
from netpolc.cli.options.logs import span_of as span_of
from netpolc.cli.options.manifests import Reading as Reading
from netpolc.cli.parameters import (
    FILE,
    Command,
    NamespaceName,
    NodeAddressType,
    stack,
)
from netpolc.cli.unread import Heed
from netpolc.core.errors import UsageError
from netpolc.frontends import Semantics, Treatment

paths = click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=FILE)
optional_paths = click.argument("paths", metavar="[PATH]...", nargs=-1, type=FILE)
node = click.option(
    "--node",
    metavar="NAME",
    shell_complete=completion.complete_nodes,
    help="The node whose pods are local.",
)
all_pods = click.option("--all-pods", is_flag=True, help="Take every pod of the snapshot as local.")
_how_to_read = stack(
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
)


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

    return _how_to_read(command)
