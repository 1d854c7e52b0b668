"""What the agent says, a line each, for people or for machines.

Comes in: a level, a message, what it is about. Goes out: text, or one JSON object a line.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from netpolc.core.foreign import inert, to_json

INFO, WARNING, ERROR = "info", "warning", "error"


class LogLines:
    """Writes lines; `say` is told each one, without its end."""

    def __init__(self, say: Callable[[str], None], *, as_json: bool = False) -> None:
        self._say, self._as_json = say, as_json

    def info(self, message: str, **about: object) -> None:
        """What an operator may want to know."""
        self._write(INFO, message, about)

    def warning(self, message: str, **about: object) -> None:
        """What is not as it should be, and goes on."""
        self._write(WARNING, message, about)

    def error(self, message: str, **about: object) -> None:
        """What failed, and is tried again."""
        self._write(ERROR, message, about)

    def _write(self, level: str, message: str, about: dict[str, object]) -> None:
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if self._as_json:
            self._say(to_json({"time": moment, "level": level, "message": message, **about}))
            return
        more = "".join(f" {name}={value}" for name, value in about.items())
        self._say(inert(f"{moment} {level}: {message}{more}"))
