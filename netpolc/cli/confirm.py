"""`netpolc confirm`."""

from __future__ import annotations

import click

from netpolc.backends.nft.kernel import Kernel
from netpolc.cli import options


@click.command()
@options.table
@click.pass_context
def confirm(ctx: click.Context, table: str) -> None:
    """Keep the table that `netpolc apply --confirm` loaded. Exit code 1 when none waits.

    \b
    Example:
      netpolc confirm
    """
    if Kernel().confirm(table):
        click.echo(f"confirmed table inet {table}")
        return
    click.echo(f"no table inet {table} waits to be confirmed")
    ctx.exit(1)
