"""Options that commands share, as values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

import netpolc
from netpolc.backends.nft import LOG_RATE, TABLE
from netpolc.cluster import Snapshot
from netpolc.compiler import Program, compile, load
from netpolc.frontends import Semantics

F = TypeVar("F", bound=Callable[..., Any])


def _stack(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


paths = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
optional_paths = click.argument("paths", metavar="[PATH]...", nargs=-1)
table = click.option(
    "--table", default=TABLE, show_default=True, help="The table: netpolc or netpolc_NAME."
)
node = click.option("--node", metavar="NAME", help="The node whose pods are local.")
all_pods = click.option("--all-pods", is_flag=True, help="Take every pod of the snapshot as local.")


def reading(function: F) -> F:
    """How manifests are read."""
    return _stack(
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
        click.option("-v", "--verbose", is_flag=True, help="Name the kinds that were ignored."),
    )(function)


def ruleset(function: F) -> F:
    """What the ruleset looks like."""
    return _stack(
        table,
        click.option(
            "--hook",
            type=click.Choice(["forward", "postrouting"]),
            default="forward",
            show_default=True,
            help="Where packets are judged; postrouting also sees what IPVS forwards.",
        ),
        click.option(
            "--priority",
            type=int,
            help="Priority of the base chain [default: -5 in forward, 95 in postrouting].",
        ),
        click.option(
            "--deny",
            type=click.Choice(["drop", "reject"]),
            default="drop",
            show_default=True,
            help="What becomes of denied packets; reject answers with a TCP reset or ICMP.",
        ),
        click.option(
            "--log",
            is_flag=False,
            flag_value=LOG_RATE,
            metavar="RATE",
            help=f"Log denied packets, at most RATE a chain (--log alone: {LOG_RATE}).",
        ),
    )(function)


def program_of(
    paths: tuple[str, ...], semantics: str, no_strict: bool, verbose: bool
) -> tuple[Snapshot, Program]:
    """Load and compile; warnings and what was ignored go to standard error."""
    snapshot = load(paths, semantics=semantics, strict=not no_strict)
    for warning in snapshot.warnings:
        click.echo(str(warning), err=True)
    if verbose:
        for kind, count in snapshot.ignored.items():
            click.echo(f"ignored: {count} {kind}", err=True)
    elif snapshot.ignored:
        count = sum(snapshot.ignored.values())
        objects = "object" if count == 1 else "objects"
        click.echo(f"ignored {count} {objects} of other kinds (-v names them)", err=True)
    return snapshot, compile(snapshot)


def nft_options(
    table: str,
    hook: str = "forward",
    priority: int | None = None,
    deny: str = "drop",
    log: str | None = None,
) -> netpolc.Options:
    """The checked options of a ruleset."""
    return netpolc.Options(table, hook, priority, deny, log)
