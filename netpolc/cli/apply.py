"""`netpolc apply`."""

from __future__ import annotations

import socket

import click

from netpolc.backends.nft import Options, conntrack
from netpolc.backends.nft.diff import Delta
from netpolc.backends.nft.kernel import Kernel
from netpolc.cli import options
from netpolc.cli.watch import keep_applied
from netpolc.compiler import Program
from netpolc.errors import UsageError


@click.command()
@options.paths
@options.node
@options.all_pods
@click.option("--dry-run", is_flag=True, help="Let the kernel check the ruleset; load nothing.")
@click.option(
    "--flush-conntrack",
    is_flag=True,
    help="Then forget the open flows of this node's pods that are denied now.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Go on, and apply again whenever something in the folders PATH changes.",
)
@options.ruleset
@options.reading
def apply(
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    dry_run: bool,
    flush_conntrack: bool,
    watch: bool,
    chosen: Options,
    reading: options.Reading,
) -> None:
    """Compile for this node and load the ruleset in one transaction.

    What is loaded is changed where it differs and left alone where not; drop counters go on. The
    node is --node, or the one named like this host. On any error the table that was loaded before
    stays in force.

    \b
    Examples:
      netpolc apply cluster/
      netpolc apply cluster/ --node node-a --dry-run
      netpolc apply lab.yaml --all-pods --log=5/second
      netpolc apply cluster/ --audit
      netpolc apply --watch /etc/netpolc --established recheck
    """
    if dry_run and (watch or flush_conntrack):
        raise UsageError("--dry-run changes nothing: it excludes --watch and --flush-conntrack")
    if flush_conntrack and chosen.recheck:
        # A forgotten flow may begin anew from its other end, where a known one stays denied.
        raise UsageError("--established recheck ends what is denied: leave --flush-conntrack out")
    kernel = Kernel()

    def apply_once() -> str:
        program = reading.program(paths)
        local = local_node(program, node, all_pods)
        ruleset = program.ruleset(local, chosen)
        if flush_conntrack:
            conntrack.require()
        if dry_run:
            kernel.check(ruleset)
            done = "the kernel would load"
        else:
            done = _done(kernel.update(ruleset).delta)
        what = f"node {local}" if local is not None else "every pod"
        audit = " (audit: nothing is denied)" if chosen.audit else ""
        said = f"{done} table inet {chosen.table} for {what}: {ruleset.digest}{audit}"
        click.echo(said)
        if flush_conntrack:
            count = conntrack.forget_denied(program, local)
            flows = "open flow that is" if count == 1 else "open flows that are"
            click.echo(f"forgot {count} {flows} denied now")
        return said

    if watch:
        keep_applied(paths, apply_once)
    else:
        apply_once()


def _done(delta: Delta | None) -> str:
    if delta is None:
        return "loaded"
    return f"updated ({delta})" if delta else "nothing to change in"


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
