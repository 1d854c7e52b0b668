"""`netpolc apply`."""

from __future__ import annotations

import re
import select
import sys
import termios
import time
from typing import TYPE_CHECKING

import click

from netpolc.backends.nft import Options
from netpolc.backends.nft.rollout.state.loaded import Foreign
from netpolc.cli import interruption, options, table_options, terminal
from netpolc.cli.enforce.unchanged import unchanged
from netpolc.cli.inputs import Inputs
from netpolc.cli.parameters import FILE
from netpolc.core.errors import SystemRefusal, UsageError

if TYPE_CHECKING:
    from netpolc.backends.nft.rollout.guard import Pending
    from netpolc.backends.nft.rollout.kernel import Kernel

_UNITS = {"s": 1, "m": 60, "h": 3600}
_CHANGES = 4
"""The exit code of --detailed-exitcode where something would change."""
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
@click.option(
    "--plan",
    is_flag=True,
    help="Say which connections would open and close, and what would be sent; load nothing.",
)
@click.option(
    "--dry-run", is_flag=True, help="The same, and let the kernel check the ruleset; load nothing."
)
@click.option(
    "--detailed-exitcode",
    is_flag=True,
    help="Of --plan and --dry-run: exit code 4 if something would change.",
)
@click.option(
    "--verify/--no-verify",
    default=None,
    help="Prove the ruleset equal to the policies before it is loaded, and read it back after; "
    "--watch does.",
)
@click.option(
    "--save",
    metavar="FILE",
    type=FILE,
    help="Write the table that is replaced, for `nft -f`; before loading.",
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
    "--allow-empty",
    is_flag=True,
    help="Also load a snapshot without pods of this node, or without policies, over a table that "
    "isolates somebody.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Go on, and apply again whenever something in the folders PATH changes.",
)
@table_options.via
@table_options.ruleset
@options.reading
@click.pass_context
def apply(
    ctx: click.Context,
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    plan: bool,
    dry_run: bool,
    detailed_exitcode: bool,
    verify: bool | None,
    save: str | None,
    confirm: int | None,
    flush_conntrack: bool,
    allow_empty: bool,
    watch: bool,
    via: str,
    chosen: Options,
    reading: options.Reading,
) -> None:
    """Make the kernel's table of this node what the policies say.

    What is loaded is changed where it differs and left alone where not; drop counters go on. The
    node is --node, or the one named like this host. On any error the table that was loaded before
    stays in force, or is in force again. Exit code 1 when --verify finds a difference or nobody
    confirms.

    \b
    Examples:
      netpolc apply cluster/
      netpolc apply cluster/ --node node-a --plan
      netpolc apply cluster/ --node node-a --verify --save before.nft --confirm 60s
      netpolc apply lab.yaml --all-pods --log=5/second
      netpolc apply cluster/ --audit
      netpolc apply --watch /etc/netpolc --established recheck
    """
    changes_nothing = plan or dry_run
    _check(changes_nothing, bool(verify), save, confirm, flush_conntrack, watch, chosen)
    if detailed_exitcode and not changes_nothing:
        raise UsageError("--detailed-exitcode is for --plan and --dry-run")
    plain = not (changes_nothing or verify or confirm or flush_conntrack or watch)
    asked = None
    if plain and save is None and via == "netlink":
        asked = Inputs.of(paths, reading, node, all_pods, notes=True)
        if asked is not None and (told := unchanged(asked, chosen)) is not None:
            _say(told)
            return
    # What loads and compiles takes as long to import as all else that an unchanged table needs.
    from netpolc.backends.nft.rollout.loader import Via
    from netpolc.cli.enforce.application import Application, Wanted
    from netpolc.cli.enforce.watch import keep_applied

    wanted = Wanted(
        node=node,
        all_pods=all_pods,
        chosen=chosen,
        proves=watch if verify is None else verify,
        save=save,
        confirm=confirm,
        flush_conntrack=flush_conntrack,
        allow_empty=allow_empty,
        watch=watch,
    )
    application = Application(
        paths, reading.around_odd() if watch else reading, Via(via), wanted, asked
    )
    if changes_nothing:
        changes = application.plan(dry_run)
        ctx.exit(_CHANGES if changes and detailed_exitcode else 0)
    if watch:
        keep_applied(
            paths,
            application.watched,
            application.restore,
            chosen.table,
            _say,
            application.follow,
        )
        return
    said, pending = application.once()
    _say(said)
    if pending is not None and confirm is not None:
        try:
            code = _await(pending, application.kernel, confirm, application.digest)
        except SystemRefusal as error:
            moment = pending.unconfirmed.until
            error.add_note(f"unless it is confirmed, the guard takes it back at {moment}")
            raise
        ctx.exit(code)


def _say(said: str) -> None:
    terminal.say_lines(said.split("\n"))


def _check(
    changes_nothing: bool,
    verify: bool,
    save: str | None,
    confirm: int | None,
    flush_conntrack: bool,
    watch: bool,
    chosen: Options,
) -> None:
    """`UsageError` for options that make no sense together."""
    if changes_nothing and (verify or save is not None or confirm is not None):
        text = "--plan and --dry-run load nothing; they exclude --verify, --save and --confirm"
        raise UsageError(text)
    if changes_nothing and (watch or flush_conntrack):
        text = "--plan and --dry-run change nothing: they exclude --watch and --flush-conntrack"
        raise UsageError(text)
    if watch and (save is not None or confirm is not None):
        raise UsageError("--watch applies again and again: it excludes --save and --confirm")
    if save == "-":
        raise UsageError("--save needs a file")
    if flush_conntrack and chosen.recheck:
        # A forgotten flow may begin anew from its other end, where a known one stays denied.
        raise UsageError("--established recheck ends what is denied: leave --flush-conntrack out")
    if flush_conntrack and chosen.audit:
        raise UsageError("--audit denies nothing, so there is nothing for --flush-conntrack")


def _await(pending: Pending, kernel: Kernel, seconds: int, digest: str) -> int:
    """Wait until somebody confirms, interrupts (which undoes it at once) or the time is over; the
    exit code. `digest` is that of the table that waits: the guard may have undone it already.
    """
    from netpolc.backends.nft.rollout.guard import TICK

    code, why, own = 1, "not confirmed", None
    until = time.monotonic() + seconds + _LATE
    try:
        own = kernel.facts.loaded(pending.table)
        watched = [sys.stdin] if sys.stdin.isatty() else []
        if watched:
            termios.tcflush(sys.stdin, termios.TCIFLUSH)  # what was typed before is no answer
        asked = "press Enter, or run `netpolc confirm`" if watched else "`netpolc confirm`"
        terminal.say(f"waiting to be confirmed until {pending.unconfirmed.until}: {asked}")
        while not pending.settled and time.monotonic() < until:
            if select.select(watched, [], [], TICK)[0]:
                if sys.stdin.readline().endswith("\n"):
                    kernel.confirm(pending.table, pending.unconfirmed.token)
                watched = []  # the terminal is gone
    except KeyboardInterrupt as error:
        code, why = interruption.exit_code(error), "interrupted, not confirmed"
    pending.undo(kernel)  # nothing to do, unless it was interrupted or the guard was killed
    try:
        now = kernel.facts.loaded(pending.table)
    except Foreign:  # somebody else's came back
        now = None
    mark = (own.digest, own.since) if own is not None else None
    if now is not None and mark == (now.digest, now.since) and now.digest == digest:
        terminal.say("confirmed")
        return 0
    terminal.say(f"{why}: what was loaded before, or since, is in force", "bold red")
    return code
