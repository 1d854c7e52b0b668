"""`netpolc confirm`."""

from __future__ import annotations

import click

from netpolc.backends.nft.rollout.attempt import Attempt
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.cli import table_options
from netpolc.cli.terminal import say


@click.command()
@table_options.table
@click.pass_context
def confirm(ctx: click.Context, table: str) -> None:
    """Keep the table that `netpolc apply --confirm` loaded. Exit code 1 when none waits.

    \b
    Example:
      netpolc confirm
    """
    kernel = Kernel()
    with kernel.locked(table), Attempt(kernel, table):
        done = kernel.confirm(table)
    if done:
        say(f"confirmed table inet {table}")
        return
    say(f"no table inet {table} waits to be confirmed")
    ctx.exit(1)
