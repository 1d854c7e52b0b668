from typing import final

_Elements = tuple[str | int, ...]

class Broken(ValueError):
    def __init__(self, line: int, column: int, reason: str, offset: int = -1) -> None: ...
    line: int
    column: int
    reason: str
    offset: int

class Unusual(ValueError):
    def __init__(self, line: int, column: int, what: str) -> None: ...
    line: int
    column: int
    what: str

@final
class Marks:
    def __init__(self, text: bytes) -> None: ...
    def find(
        self, document: int, elements: _Elements, /
    ) -> tuple[int, int, int, int, int, int]: ...

def transcode(text: bytes, /) -> tuple[list[tuple[bytes, list[_Elements]]], Broken | None]: ...
