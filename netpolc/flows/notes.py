"""What a flow log does not say: events that were lost, lines that were cut, records of other kinds.

Comes in: each of them, with its place, while a log is read. Goes out: how many of each kind there
were, and where the first was. Refused (`LogError`): damage, unless reading shall go on; then it is
counted like the rest. Nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from netpolc.core.errors import NetpolcError

MOST_KINDS = 100
"""Kinds that are told apart: names of unknown columns come from whoever wrote the log."""


class LogError(NetpolcError):
    """A flow log that cannot be read, or not whole: the place and the reason."""


class Gravity(IntEnum):
    """What a note says of the answer."""

    NOTED = 0
    """What is no flow by its meaning: nothing is missing."""
    LOST = 1
    """Flows there were, and the log itself says that it does not have them."""
    DAMAGED = 2
    """What could not be read: cut, of another format, of an unknown kind, of another time."""


@dataclass(slots=True)
class LogNote:
    """How often something was met: `count` times, first at `place` (`file:line`, or a file)."""

    kind: str
    gravity: Gravity
    place: str
    count: int = 0

    def __str__(self) -> str:
        return f"{self.place}: {self.kind}" + (f" ({self.count} in all)" if self.count > 1 else "")


class LogNotes:
    """Everything that was noted of some logs, each kind once."""

    def __init__(self, *, keep_going: bool = False) -> None:
        """With `keep_going` damage is counted, and else raised."""
        self._keep_going = keep_going
        self._notes: dict[tuple[Gravity, str], LogNote] = {}
        self._columns: dict[str, tuple[frozenset[str], str]] = {}

    def __iter__(self) -> Iterator[LogNote]:
        return iter(sorted(self._notes.values(), key=lambda note: -note.gravity))

    def note(self, kind: str, place: str, count: int = 1) -> None:
        """What is no flow and no loss."""
        self._add(Gravity.NOTED, kind, place, count)

    def lose(self, kind: str, place: str, count: int = 1) -> None:
        """Flows that the log says it lacks."""
        self._add(Gravity.LOST, kind, place, count)

    def damage(self, kind: str, place: str, detail: str = "", count: int = 1) -> None:
        """What cannot be read, or believed; `LogError` unless reading goes on. `detail` is of the
        first alone.
        """
        if not self._keep_going:
            raise LogError(f"{place}: {kind}{f': {detail}' if detail else ''}")
        self._add(Gravity.DAMAGED, kind, place, count)

    def give_up(self, error: LogError, place: str) -> None:
        """A log that is read no further; `error` again unless reading goes on with the next."""
        if not self._keep_going:
            raise error
        self._add(Gravity.DAMAGED, str(error).removeprefix(f"{place}: "), place, 1)

    def check_columns(self, form: str, names: Iterable[str], place: str) -> None:
        """Of a log of columns those that have a meaning; that others of its format have more or
        fewer is damage: a column that comes or goes would else be read as nothing, in silence.
        """
        own = frozenset(names)
        known, first = self._columns.setdefault(form, (own, place))
        if own != known:
            less, more = (", ".join(sorted(names)) for names in (known - own, own - known))
            parts = [f"no {less}" if less else "", f"also {more}" if more else ""]
            self.damage(f"other columns than {first}", place, "; ".join(filter(None, parts)))

    @property
    def is_whole(self) -> bool:
        """Whether no flow was lost and nothing was damaged."""
        return not (self.count(Gravity.LOST) or self.count(Gravity.DAMAGED))

    def count(self, gravity: Gravity) -> int:
        """How many of it there were."""
        return sum(note.count for note in self._notes.values() if note.gravity is gravity)

    def _add(self, gravity: Gravity, kind: str, place: str, count: int) -> None:
        if (gravity, kind) not in self._notes and len(self._notes) >= MOST_KINDS:
            kind = "more of other kinds"
        self._notes.setdefault((gravity, kind), LogNote(kind, gravity, place)).count += count
