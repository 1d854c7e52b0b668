"""`netpolc delete`."""

from __future__ import annotations

import click

from netpolc.backends.nft.kernel import Kernel
from netpolc.cli import options


@click.command()
@options.table
def delete(table: str) -> None:
    """Remove netpolc's table, and no other: nothing is enforced afterwards.

    \b
    Example:
      netpolc delete
    """
    if Kernel().delete(table):
        click.echo(f"deleted table inet {table}")
    else:
        click.echo(f"table inet {table} is not loaded")
