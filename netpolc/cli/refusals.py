"""How a refusal is told: on standard error, every diagnostic of bad input, then a count."""

from __future__ import annotations

from netpolc.cli.terminal import warn
from netpolc.core.errors import InputError, NetpolcError, Severity, SystemRefusal
from netpolc.core.foreign import inert


def print_notes(error: BaseException) -> None:
    """Print what was noted of an error on its way: what is in force, for example."""
    for note in getattr(error, "__notes__", ()):
        warn(f"netpolc: {note}")


def tell(error: NetpolcError) -> str:
    """Print a refusal, and its notes; gives its last line, which says it in short."""
    if isinstance(error, InputError):
        for diagnostic in error.diagnostics:
            warn(str(diagnostic))
        count = sum(d.severity is Severity.ERROR for d in error.diagnostics)
        summary = f"netpolc: {count} {'error' if count == 1 else 'errors'}"
        warn(summary)
    else:
        summary = f"netpolc: {error}"
        several = isinstance(error, SystemRefusal)  # libnftables may say more
        for line in summary.split("\n") if several else (summary,):
            warn(line)
    print_notes(error)
    return inert(summary.removeprefix("netpolc: "))
