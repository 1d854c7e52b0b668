"""How an interrupted command ends: cleaned up, with one line and the exit code of the signal.

In: SIGINT (Ctrl-C) and SIGTERM. Out: 130 and 143, which is 128 and the number of the signal, as
shells say it (bash(1), EXIT STATUS). Commands whose end is a signal (`--watch`, `top`) end with 0.
"""

from __future__ import annotations

import signal
from types import FrameType

import click


class Terminated(KeyboardInterrupt):
    """SIGTERM came: what is under way is cleaned up as after Ctrl-C."""


def listen() -> None:
    """Let SIGTERM raise `Terminated`; whoever started netpolc may have it ignored."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _raise)


def forget() -> None:
    """For a forked worker: SIGTERM ends it, and Ctrl-C is for its parent, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def exit_code(error: KeyboardInterrupt) -> int:
    """The exit code of a command that was interrupted so."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def tell_interrupted(error: KeyboardInterrupt) -> None:
    """Print that it was interrupted."""
    word = "terminated" if isinstance(error, Terminated) else "interrupted"
    click.echo(f"netpolc: {word}", err=True)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated
