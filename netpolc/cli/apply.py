"""`netpolc apply`."""

from __future__ import annotations

import socket

import click

from netpolc.backends.nft import Options
from netpolc.backends.nft.kernel import Kernel
from netpolc.cli import options
from netpolc.compiler import Program
from netpolc.errors import UsageError


@click.command()
@options.paths
@options.node
@options.all_pods
@click.option("--dry-run", is_flag=True, help="Let the kernel check the ruleset; load nothing.")
@options.ruleset
@options.reading
def apply(
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    dry_run: bool,
    chosen: Options,
    reading: options.Reading,
) -> None:
    """Compile for this node and load the ruleset in one transaction.

    The node is --node, or the one named like this host. On any error the table that was loaded
    before stays in force.

    \b
    Examples:
      netpolc apply cluster/
      netpolc apply cluster/ --node node-a --dry-run
      netpolc apply lab.yaml --all-pods --log=5/second
      netpolc apply cluster/ --audit
    """
    program = reading.program(paths)
    local = local_node(program, node, all_pods)
    ruleset = program.ruleset(local, chosen)
    kernel = Kernel()
    if dry_run:
        kernel.check(ruleset)
    else:
        kernel.load(ruleset)
    done = "the kernel would load" if dry_run else "loaded"
    what = f"node {local}" if local is not None else "every pod"
    audit = " (audit: nothing is denied)" if chosen.audit else ""
    click.echo(f"{done} table inet {chosen.table} for {what}: {ruleset.digest}{audit}")


def local_node(program: Program, node: str | None, all_pods: bool) -> str | None:
    """The node to compile for: the one asked for, this host, or None for every pod."""
    if all_pods:
        if node is not None:
            raise UsageError("--all-pods and --node exclude each other")
        return None
    if node is not None:
        return node
    host = socket.gethostname()
    nodes = program.cluster.nodes
    for name in (host, host.lower(), host.lower().partition(".")[0]):
        if name in nodes:
            return name
    text = "say --node NAME, or --all-pods to take every pod as local"
    raise UsageError(f"this host is {host!r}, which is no node of the snapshot; {text}")
