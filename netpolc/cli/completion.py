"""What a shell may complete: names of the manifests that stand on the line already.

They are read as quickly as they can be: files as they are, odd objects passed over, no program run
and nothing fetched. What cannot be read completes nothing; the command itself says why.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from netpolc.core.errors import NetpolcError

if TYPE_CHECKING:
    from netpolc.core.cluster import Snapshot

_Items = list[CompletionItem]


def _snapshot(paths: Iterable[str], exclude: Iterable[str] = ()) -> Snapshot | None:
    """What files and folders hold; None where there is nothing that can be read."""
    from netpolc.compiler import load  # nobody who completes an option's name waits for it

    found = [path for path in paths if os.path.isfile(path) or os.path.isdir(path)]
    try:
        return load(found, strict=False, odd_objects="isolate", exclude=exclude, raw=True)
    except (NetpolcError, OSError):
        return None  # a shell that completes has nobody to tell


def _given(ctx: click.Context) -> Snapshot | None:
    """The manifests that the line names so far."""
    # Before an option that has no value yet click leaves arguments as it found them, in `args`.
    paths = [*(ctx.params.get("paths") or ctx.args), *(ctx.params.get("common") or ())]
    return _snapshot(paths, ctx.params.get("exclude") or ())


def _beginning(names: Iterable[str], incomplete: str) -> _Items:
    return [CompletionItem(own) for own in sorted(set(names)) if own.startswith(incomplete)]


def complete_nodes(ctx: click.Context, _: click.Parameter, incomplete: str) -> _Items:
    """Names of nodes."""
    found = _given(ctx)
    return _beginning(found.cluster.nodes if found is not None else (), incomplete)


def complete_contexts(ctx: click.Context, _: click.Parameter, incomplete: str) -> _Items:
    """Names of contexts of the kubeconfig."""
    from netpolc.apiserver.access.kubeconfig import contexts  # of use to few

    try:
        return _beginning(contexts(ctx.params.get("kubeconfig")), incomplete)
    except NetpolcError:
        return []  # the command itself says why


def complete_namespaces(ctx: click.Context, _: click.Parameter, incomplete: str) -> _Items:
    """Names of namespaces, also of those that have no object."""
    found = _given(ctx)
    return _beginning(found.cluster.namespaces if found is not None else (), incomplete)


def complete_workloads(ctx: click.Context, _: click.Parameter, incomplete: str) -> _Items:
    """Workloads as `list` prints them: `shop/web[Deployment]`."""
    found = _given(ctx)
    return _beginning(_workloads(found) if found is not None else (), incomplete)


def complete_ends(ctx: click.Context, _: click.Parameter, incomplete: str) -> _Items:
    """Pods, nodes as `node:NAME`, and workloads."""
    found = _given(ctx)
    return _beginning(_ends(found) if found is not None else (), incomplete)


def complete_policies(_: click.Context, __: click.Parameter, incomplete: str) -> _Items:
    """Files and folders; behind their `#` the policies that they hold."""
    path, mark, name = incomplete.rpartition("#")
    if not mark or os.path.exists(incomplete):
        return [CompletionItem(incomplete, type="file")]
    found = _snapshot([path])
    names = [own.origin.policy for own in found.policies] if found is not None else []
    return [CompletionItem(f"{path}#{own.value}") for own in _beginning(names, name)]


def complete_codes(_: click.Context, __: click.Parameter, incomplete: str) -> _Items:
    """Codes of `check` with their titles; also the last one of several between commas."""
    from netpolc.analysis.findings import CATALOGUE

    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{code.code}", help=code.title)
        for code in CATALOGUE.values()
        if code.code.startswith(last.upper())
    ]


def _workloads(snapshot: Snapshot) -> Iterator[str]:
    return map(snapshot.cluster.workload, snapshot.cluster.pods)


def _ends(snapshot: Snapshot) -> Iterator[str]:
    yield from (pod.key for pod in snapshot.cluster.pods)
    yield from (f"node:{name}" for name in snapshot.cluster.nodes)
    yield from _workloads(snapshot)
