"""Options that name a live cluster, as kubectl has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netpolc.cli import completion
from netpolc.cli.parameters import FILE, Command, NamespaceName, stack
from netpolc.cli.terminal import warn
from netpolc.core.errors import SystemRefusal, UsageError

if TYPE_CHECKING:
    from netpolc.apiserver.reading import ClusterState


@dataclass(frozen=True, slots=True)
class AskedCluster:
    """A live cluster, as it is asked for."""

    kubeconfig: str | None
    context: str | None
    namespace: str = ""
    """Only this one is read; empty for all."""

    def read(self, enforces: bool) -> tuple[ClusterState, str | None]:
        """What it has, and the namespace of its context, None if that is the usual one.

        Kinds that cannot be listed are told on standard error; `SystemRefusal` if a ruleset is to
        be made without them, or nobody answers.
        """
        from netpolc.apiserver.access.kubeconfig import from_kubeconfig
        from netpolc.apiserver.reading import read_cluster  # TLS and HTTP, which few need
        from netpolc.frontends.fields import DEFAULT_NAMESPACE

        access = from_kubeconfig(self.kubeconfig, self.context)
        found = read_cluster(access, self.namespace)
        for own in found.unlisted:
            warn(f"note: {found.name}: {own.plural} are not known: {own.why}")
        kinds = ", ".join(own.plural for own in found.unlisted if own.required)
        if enforces and kinds:
            raise SystemRefusal(f"{found.name}: no ruleset without {kinds}: they cannot be listed")
        return found, access.namespace if access.namespace != DEFAULT_NAMESPACE else None


def cluster_options(function: Command, narrows: bool) -> Command:
    """Options that become the parameter `asked_cluster: AskedCluster | None`."""

    @wraps(function)
    def command(
        *args: Any,
        context: str | None,
        kubeconfig: str | None,
        all_namespaces: bool,
        only_namespace: str | None = None,
        **rest: Any,
    ) -> None:
        if all_namespaces and only_namespace:
            raise UsageError("-A is every namespace, -n one: give one of them")
        asked = None
        if context or kubeconfig or all_namespaces or only_namespace:
            asked = AskedCluster(kubeconfig, context, only_namespace or "")
        function(*args, asked_cluster=asked, **rest)

    one = click.option(
        "-n",
        "--only-namespace",
        type=NamespaceName(),
        metavar="NAME",
        help="Of the cluster, only what is in this namespace, and what is in none.",
    )
    return stack(
        click.option(
            "--context",
            metavar="NAME",
            shell_complete=completion.complete_contexts,
            help="Read the live cluster of this context of the kubeconfig.",
        ),
        click.option(
            "--kubeconfig",
            metavar="FILE",
            type=FILE,
            help="Read the live cluster of this kubeconfig [default: $KUBECONFIG, or "
            "~/.kube/config].",
        ),
        click.option(
            "-A",
            "--all-namespaces",
            is_flag=True,
            help="Read all namespaces of the live cluster: of the current context unless another "
            "is named.",
        ),
        *([one] if narrows else []),
    )(command)
