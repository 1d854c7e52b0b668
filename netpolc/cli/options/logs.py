"""Options of commands that read flow logs: which records count, and how they are read."""

from __future__ import annotations

import click

from netpolc.cli.parameters import Command, stack
from netpolc.core.errors import UsageError

log_format = click.option(
    "--format", "log_format", metavar="NAME", help="Of the logs [default: their content]."
)


def log_records(function: Command) -> Command:
    """Of the records those from `since` until `until`; of the logs their `log_format`."""
    return stack(
        click.option(
            "--since", metavar="TIME", help="Only records from then on (RFC 3339, or seconds)."
        ),
        click.option("--until", metavar="TIME", help="Only records before that."),
        log_format,
    )(function)


def span_of(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """The moments that bound records; `UsageError` for a text that is no time."""
    from netpolc.flows.values import moment

    try:
        return moment(since), moment(until)
    except ValueError as error:
        raise UsageError(f"--since, --until: {error}") from None
