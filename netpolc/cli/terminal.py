"""What a person sees: tables, colour and progress on a terminal, plain text everywhere else.

Comes in: rows and words, whoever wrote them: they are escaped here (`foreign.inert`). Goes out: on
a terminal Rich's tables and styles (`NO_COLOR` is honoured: no-color.org), in a pipe or a file the
same words in aligned columns, never cut to a width.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

import click

from netpolc.cli.output import write
from netpolc.core.foreign import inert

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Report = Callable[[int, int], None]
"""Told how much is done, of how much (0: nobody knows)."""
Justify = Literal["left", "right"]
_PATIENCE = 1.0
"""Seconds after which somebody who waits wants to know how long it will be."""
_DRAWN = 2_000
"""Rows up to which a table is drawn: Rich needs a third of a millisecond a row, and longer tables
are searched, not looked at."""
_GAP = "  "


def console(err: bool = False) -> Console:
    """Rich's console on standard output, or on standard error."""
    from rich.console import Console  # takes longer to import than most commands to run

    return Console(stderr=err, highlight=False, markup=False, emoji=False)


def is_terminal(err: bool = False) -> bool:
    """Whether somebody is looking."""
    return (sys.stderr if err else sys.stdout).isatty()


def say(text: str, style: str = "", err: bool = False) -> None:
    """Print a line, whatever is in it (`foreign.inert`); a style is seen on a terminal only."""
    if style and is_terminal(err):
        console(err).print(inert(text), style=style, soft_wrap=True)
    else:
        click.echo(inert(text), err=err)


def warn(text: str) -> None:
    """Print a line on standard error."""
    say(text, err=True)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines."""
    for line in lines:
        say(line)


def show(lines: Iterable[tuple[str, str]], file: str | None) -> None:
    """Print lines with their styles, or write them to a file without."""
    if file is not None:
        write("".join(f"{inert(line)}\n" for line, _ in lines), file)
        return
    for line, style in lines:
        say(line, style)


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
    """Print a table; columns named in `right` are numbers, and stand to the right."""
    rows = list(rows)
    if is_terminal() and len(rows) <= _DRAWN:
        console().print(_drawn(headers, rows, _sides(headers, right)))
        return
    click.echo(plain_table(headers, rows, right), nl=False)


def plain_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()
) -> str:
    """The same table as aligned columns of text."""
    lines = aligned([headers, *rows], _sides(headers, right))
    return "".join(f"{line}\n" for line in lines)


def _sides(headers: Sequence[str], right: Sequence[str]) -> list[Justify]:
    return ["right" if header in right else "left" for header in headers]


def _drawn(
    headers: Sequence[str], rows: Iterable[Sequence[str]], sides: Sequence[Justify]
) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for header, side in zip(headers, sides, strict=True):
        drawn.add_column(header, justify=side, overflow="fold")
    for row in rows:
        drawn.add_row(*map(inert, row))
    return drawn


def live_table(
    headers: Sequence[str],
    readings: Iterable[Iterable[Sequence[str]]],
    right: Sequence[str] = (),
) -> None:
    """A table on a terminal, drawn anew in its place for each reading, until somebody interrupts.

    Rows that do not fit the screen are left out at its end.
    """
    from rich.live import Live

    sides = _sides(headers, right)
    with suppress(KeyboardInterrupt), Live(console=console(), auto_refresh=False) as view:
        for rows in readings:
            view.update(_drawn(headers, rows, sides), refresh=True)


def aligned(rows: Sequence[Sequence[str]], sides: Sequence[Justify]) -> Iterator[str]:
    """Rows as lines of columns, whatever their cells hold."""
    rows = [list(map(inert, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.rjust(width) if side == "right" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=True)
        )
        yield _GAP.join(cells).rstrip()


@contextmanager
def progress(label: str, *, of_bytes: bool = False) -> Iterator[Report]:
    """A bar on standard error once the work has taken a second, where somebody may be looking; of
    bytes with how many there are in a second.
    """
    if not is_terminal(err=True):
        yield lambda done, total: None
        return
    from rich.progress import Progress, TransferSpeedColumn

    rate = [TransferSpeedColumn()] if of_bytes else []
    bar = Progress(
        *Progress.get_default_columns(), *rate, console=console(err=True), transient=True
    )
    started = time.monotonic()
    task = bar.add_task(label, total=None)

    def report(done: int, total: int) -> None:
        if bar.live.is_started or time.monotonic() - started > _PATIENCE:
            bar.start()
            bar.update(task, completed=done, total=total or None)

    try:
        yield report
    finally:
        bar.stop()
