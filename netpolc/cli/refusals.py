"""How a refusal is told: on standard error, every diagnostic of bad input, then a count."""

from __future__ import annotations

import click

from netpolc.errors import InputError, NetpolcError, Severity


def tell(error: NetpolcError) -> str:
    """Print a refusal; gives its last line, which says it in short."""
    summary = str(error)
    if isinstance(error, InputError):
        click.echo(summary, err=True)
        count = sum(d.severity is Severity.ERROR for d in error.diagnostics)
        summary = f"{count} {'error' if count == 1 else 'errors'}"
    click.echo(f"netpolc: {summary}", err=True)
    return summary
