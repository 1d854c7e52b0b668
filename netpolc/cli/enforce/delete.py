"""`netpolc delete`."""

from __future__ import annotations

import click

from netpolc.backends.nft.rollout.attempt import Attempt
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.cli import table_options
from netpolc.cli.terminal import say


@click.command()
@table_options.table
def delete(table: str) -> None:
    """Remove netpolc's table, and no other: nothing is enforced afterwards.

    \b
    Example:
      netpolc delete
    """
    kernel = Kernel()
    with kernel.locked(table), Attempt(kernel, table):
        done = kernel.delete(table)
    if done:
        say(f"deleted table inet {table}")
    else:
        say(f"table inet {table} is not loaded")
