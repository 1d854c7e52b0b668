"""`netpolc apply`."""

from __future__ import annotations

import re
import select
import socket
import sys
import termios
import time
from functools import cache

import click

from netpolc.backends.nft import Options
from netpolc.backends.nft.diff import Delta
from netpolc.backends.nft.guard import TICK, Pending
from netpolc.backends.nft.kernel import Kernel
from netpolc.backends.nft.rollout import Plan, roll_out
from netpolc.cli import options, terminal
from netpolc.cli.output import write
from netpolc.cli.watch import keep_applied
from netpolc.compiler import Program
from netpolc.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LATE = 1.0
"""Seconds after which `apply` undoes it itself, in case the guard was killed."""


def _seconds(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """`60s`, `5m` or `1h` as seconds."""
    if value is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smh])", value, re.ASCII)
    if match is None:
        raise click.BadParameter(f"{value!r} is not like 60s, 5m or 1h", ctx, param)
    return int(match[1]) * _UNITS[match[2]]


@click.command()
@options.paths
@options.node
@options.all_pods
@click.option("--dry-run", is_flag=True, help="Let the kernel check the ruleset; load nothing.")
@click.option(
    "--verify",
    is_flag=True,
    help="Prove the ruleset equal to the policies before it is loaded, and read it back after.",
)
@click.option(
    "--save", metavar="FILE", help="Write the table that is replaced, for `nft -f`; before loading."
)
@click.option(
    "--confirm",
    metavar="TIME",
    callback=_seconds,
    help="Bring the replaced table back unless Enter or `netpolc confirm` comes in time (60s, 5m).",
)
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
@click.pass_context
def apply(
    ctx: click.Context,
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    dry_run: bool,
    verify: bool,
    save: str | None,
    confirm: int | None,
    flush_conntrack: bool,
    watch: bool,
    chosen: Options,
    reading: options.Reading,
) -> None:
    """Compile for this node and load the ruleset in one transaction.

    What is loaded is changed where it differs and left alone where not; drop counters go on. The
    node is --node, or the one named like this host. On any error the table that was loaded before
    stays in force, or is in force again. Exit code 1 when --verify finds a difference or nobody
    confirms.

    \b
    Examples:
      netpolc apply cluster/
      netpolc apply cluster/ --node node-a --dry-run
      netpolc apply cluster/ --node node-a --verify --save before.nft --confirm 60s
      netpolc apply lab.yaml --all-pods --log=5/second
      netpolc apply cluster/ --audit
      netpolc apply --watch /etc/netpolc --established recheck
    """
    _check(dry_run, verify, save, confirm, flush_conntrack, watch, chosen)
    kernel = cache(Kernel)  # one, made once the input is good

    def apply_once() -> tuple[str, Pending | None]:
        program = reading.program(paths)
        local = local_node(program, node, all_pods)
        ruleset = program.ruleset(local, chosen)
        of = f"node {local}" if local is not None else "every pod"
        proven = ", proven" if verify else ""
        audit = " (audit: nothing is denied)" if chosen.audit else ""
        what = f"table inet {chosen.table} for {of}: {ruleset.digest}{proven}{audit}"
        if dry_run:
            kernel().check(ruleset)
            said = f"the kernel would load {what}"
            click.echo(said)
            return said, None
        plan = Plan(
            program if verify else None,
            (lambda text: write(text, save)) if save is not None else None,
            confirm,
            program if flush_conntrack else None,
        )
        rollout = roll_out(kernel(), ruleset, plan)
        said = f"{_done(rollout.update.delta)} {what}"
        click.echo(said)
        if flush_conntrack:
            flows = "open flow that is" if rollout.forgotten == 1 else "open flows that are"
            click.echo(f"forgot {rollout.forgotten} {flows} denied now")
        return said, rollout.pending

    if watch:
        keep_applied(paths, lambda: apply_once()[0])
    else:
        _, pending = apply_once()
        if pending is not None and confirm is not None:
            ctx.exit(_await(pending, kernel(), confirm))


def _check(
    dry_run: bool,
    verify: bool,
    save: str | None,
    confirm: int | None,
    flush_conntrack: bool,
    watch: bool,
    chosen: Options,
) -> None:
    """`UsageError` for options that make no sense together."""
    if dry_run and (verify or save is not None or confirm is not None):
        raise UsageError("--dry-run loads nothing; it excludes --verify, --save and --confirm")
    if dry_run and (watch or flush_conntrack):
        raise UsageError("--dry-run changes nothing: it excludes --watch and --flush-conntrack")
    if watch and (save is not None or confirm is not None):
        raise UsageError("--watch applies again and again: it excludes --save and --confirm")
    if save == "-":
        raise UsageError("--save needs a file")
    if flush_conntrack and chosen.recheck:
        # A forgotten flow may begin anew from its other end, where a known one stays denied.
        raise UsageError("--established recheck ends what is denied: leave --flush-conntrack out")
    if flush_conntrack and chosen.audit:
        raise UsageError("--audit denies nothing, so there is nothing for --flush-conntrack")


def _done(delta: Delta | None) -> str:
    if delta is None:
        return "loaded"
    return f"updated ({delta})" if delta else "nothing to change in"


def _await(pending: Pending, kernel: Kernel, seconds: int) -> int:
    """Wait until somebody confirms or the time is over; the exit code."""
    own = kernel.loaded(pending.table)
    watched = [sys.stdin] if sys.stdin.isatty() else []
    if watched:
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before is no answer
    asked = "press Enter, or run `netpolc confirm`" if watched else "`netpolc confirm`"
    click.echo(f"waiting to be confirmed until {pending.unconfirmed.until}: {asked}")
    until = time.monotonic() + seconds + _LATE
    while not pending.settled and time.monotonic() < until:
        if select.select(watched, [], [], TICK)[0]:
            if sys.stdin.readline().endswith("\n"):
                kernel.confirm(pending.table, pending.unconfirmed.token)
            watched = []  # the terminal is gone
    pending.undo(kernel)  # nothing to do, unless the guard was killed
    now = kernel.loaded(pending.table)
    if own is not None and now is not None and (own.digest, own.since) == (now.digest, now.since):
        click.echo("confirmed")
        return 0
    terminal.say("not confirmed: what was loaded before, or since, is in force", "bold red")
    return 1


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
