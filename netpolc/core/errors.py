"""Errors and diagnostics: everything netpolc can refuse, and where it found it.

Comes in: problems found anywhere. Goes out: `Diagnostic` values, collected and raised once, and a
few exceptions that carry the exit code of the command line: 2 for bad input or usage, 3 when the
kernel or the system says no.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest

from msgspec import Struct


class Severity(StrEnum):
    """How bad a diagnostic is; only errors stop a compilation."""

    ERROR = "error"
    WARNING = "warning"


class Path(Struct, frozen=True, gc=False):
    """A field path, written as the API server writes it: `spec.ingress[0].ports[1].port`."""

    parent: Path | None
    element: str | int
    is_key: bool = False

    def __truediv__(self, element: str | int) -> Path:
        return Path(self, element)

    def key(self, element: str) -> Path:
        """An entry of a map, written `labels[app]` so that dots in keys stay readable."""
        return Path(self, element, is_key=True)

    def elements(self) -> tuple[str | int, ...]:
        """The steps from the object's root, for looking the field up in the manifest."""
        found: list[str | int] = []
        own: Path | None = self
        while own is not None:
            if own.element != "":
                found.append(own.element)
            own = own.parent
        return tuple(reversed(found))

    def __str__(self) -> str:
        before = str(self.parent) if self.parent is not None else ""
        if isinstance(self.element, int) or self.is_key:
            return f"{before}[{self.element}]"
        return f"{before}.{self.element}" if before else self.element


ROOT = Path(None, "")
FEW = 10
"""So many errors of an odd object are told one by one."""
UNREAD = "NP003"
"""The code of what is said of a policy of a kind that is not judged."""
MENDED = "NP006"
"""The code of what is said of an odd object that is not enforced as it was written."""
DOUBTED = "NP010"
"""The same of what API servers store, though it is wrong."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One problem; `place` is `file:line:column` (or the file), `path` the field it is about."""

    severity: Severity
    place: str
    path: str
    message: str
    code: str = ""
    """What `netpolc check` calls it, where it is more than a fault of the manifest."""

    def __str__(self) -> str:
        mark = "" if self.severity is Severity.ERROR else f"{self.severity}: "
        field = f"{self.path}: " if self.path else ""
        return printable(f"{self.place}: {mark}{field}{self.message}")


def printable(text: str) -> str:
    """The text with every character escaped that could forge a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class NetpolcError(Exception):
    """Whatever netpolc refuses to do; `exit_code` is what the command line returns."""

    exit_code = 2


class InputError(NetpolcError):
    """The input cannot be used; `diagnostics` holds every error and warning that was found."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(map(str, diagnostics)))


class UsageError(NetpolcError):
    """An option that makes no sense with this snapshot, for example the name of an unknown node."""


class Emptied(NetpolcError):
    """A snapshot without pods or policies, where the loaded table isolates somebody."""


class UnsupportedError(NetpolcError):
    """A meaning the chosen backend cannot express; nothing is dropped or widened in silence."""


class RulesetError(NetpolcError):
    """A ruleset that netpolc does not emit: what is not understood whole cannot be judged."""


class Unproven(NetpolcError):
    """A ruleset that does not do what the policies mean, or a table that is no longer its own."""

    exit_code = 1


class SystemRefusal(NetpolcError):
    """The kernel or the system said no: no permission, no libnftables, an unwritable output."""

    exit_code = 3


class Interrupted(NetpolcError):
    """A signal ended it; the exit code is 128 and the signal's number, as shells have it."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(f"interrupted by {name}")
        self.exit_code = 128 + number


class Problems:
    """Collects diagnostics of one object or of a whole snapshot; raised once, all together."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.passed_over: list[str] = []
        """Where folders hold what is no object: the names of files."""
        self.not_followed: list[str] = []
        """Links to folders, inside of folders that are read."""

    def add(
        self,
        place: str,
        path: str,
        message: str,
        severity: Severity = Severity.ERROR,
        code: str = "",
    ) -> None:
        """Record a problem found at `place`."""
        self.diagnostics.append(Diagnostic(severity, place, path, message, code))

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """Those that do not stop a compilation."""
        return tuple(d for d in self.diagnostics if d.severity is Severity.WARNING)

    def raise_errors(self) -> None:
        """Raise `InputError` with everything collected if any of it is an error."""
        if any(d.severity is Severity.ERROR for d in self.diagnostics):
            raise InputError(self.diagnostics)


class ObjectProblems:
    """Problems of one object; a field path becomes `file:line:column` only when there is one.

    Of a `lenient` one what has one clear meaning is mended, with a warning; and of its errors only
    the first few are told, because a tenant may have written thousands.
    """

    __slots__ = (
        "_lenient",
        "_place",
        "_problems",
        "_waived",
        "failed",
        "mended",
        "refused",
        "warned",
    )

    def __init__(
        self,
        problems: Problems,
        place: Callable[[Sequence[str | int], bool], str],
        waived: Collection[str] = (),
        *,
        lenient: bool = False,
    ) -> None:
        self._problems = problems
        self._place = place
        self._waived = waived
        self._lenient = lenient
        self.failed = False
        self.refused: list[str] = []
        """The field paths of all errors."""
        self.mended: list[str] = []
        self.warned = 0
        """How many warnings there were, waived ones included."""

    @property
    def diagnostics(self) -> Sequence[Diagnostic]:
        """What has been found, also in other objects that share the `Problems`."""
        return self._problems.diagnostics

    def error(self, path: Path, message: str, *, at_key: bool = False) -> None:
        """An error at the value of `path`, or at its key (unknown and duplicate fields)."""
        self.failed = True
        self.refused.append(str(path))
        if not self._lenient or len(self.refused) <= FEW:
            self._add(path, message, Severity.ERROR, at_key, "")

    def mend(self, path: Path, message: str, instead: str, *, at_key: bool = False) -> bool:
        """An error; of a lenient object a warning that says what is done instead, and True."""
        if not self._lenient:
            self.error(path, message, at_key=at_key)
            return False
        self._instead(path, message, instead, at_key, MENDED)
        return True

    def doubt(self, path: Path, message: str, instead: str, *, at_key: bool = False) -> None:
        """What API servers store and what is not enforced as it is written: a warning that says
        what is done instead, of lenient objects and of others.
        """
        self._instead(path, message, instead, at_key, DOUBTED)

    def waive(self, codes: Collection[str]) -> None:
        """Report no warning with one of these codes from now on: the object waives them."""
        self._waived = codes

    def _instead(self, path: Path, message: str, instead: str, at_key: bool, code: str) -> None:
        self.mended.append(instead)
        # Where each is takes as long to find as all others are many.
        told = code is MENDED or code not in self._waived
        if told and (not self._lenient or len(self.mended) <= FEW):
            self._add(path, f"{message}; {instead}", Severity.WARNING, at_key, code)

    def warning(self, path: Path, message: str, *, at_key: bool = False, code: str = "") -> None:
        """A warning: never fatal, and reported unless the object waives its code."""
        self.warned += 1
        if code not in self._waived:
            self._add(path, message, Severity.WARNING, at_key, code)

    def _add(self, path: Path, message: str, severity: Severity, at_key: bool, code: str) -> None:
        place = self._place(path.elements(), at_key)
        self._problems.add(place, str(path), message, severity, code)


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names for a message: at most `limit` of them, and how many there are besides."""
    every = list(names)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(nsmallest(limit, every)) + more


def counted(count: int, noun: str) -> str:
    """`1 chain`, `2 chains`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
