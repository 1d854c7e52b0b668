"""Objects that a program already has, brought to what JSON holds.

Comes in: mappings and lists, as clients of the API and readers of YAML give them. Goes out: the
same in dicts, lists, strings, numbers, booleans and None. Refused, with the field path: what has no
one meaning as JSON, above all numbers that are none. A `nan` would be written as null, and
`port: null` is every port.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from numbers import Integral, Real
from typing import Any

import msgspec

from netpolc.core.errors import ROOT, Path, Problems

DEPTH = 200
"""Levels of an object beyond which it is no manifest (or holds itself)."""
_SNAKE = ("api_version", "creation_timestamp", "pod_selector")
_WIRE = (
    "the wire form has names such as apiVersion: ApiClient().sanitize_for_serialization(object) of "
    "kubernetes gives it, model_dump(by_alias=True) of pydantic models"
)


class _Unreadable(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def plain_objects(objects: object, problems: Problems) -> list[Any]:
    """The objects in plain values; what cannot be read is in `problems`, and not among them."""
    if isinstance(objects, str | bytes | bytearray | Mapping) or not isinstance(objects, Iterable):
        what = "one object" if isinstance(objects, Mapping) else _kind(objects)
        problems.add("objects", "", f"{what} and no list of objects: {_instead(objects)}")
        return []
    found = []
    for number, given in enumerate(objects):
        try:
            own = given if _is_plain(given) else _plain(given, ROOT, DEPTH)
            _recognised(own)
        except _Unreadable as problem:
            problems.add(f"objects[{number}]", str(problem.path), problem.reason)
        else:
            found.append(own)
    return found


def _instead(objects: object) -> str:
    if isinstance(objects, Mapping):
        return "give [object]"
    return "netpolc.load reads files and text" if isinstance(objects, str | bytes) else "give one"


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


def _is_plain(given: object) -> bool:
    """Whether a dict holds only what JSON does, of just these types; quick, level by level."""
    level = [given]
    for _ in range(DEPTH):
        below: list[Any] = []
        for part in level:
            if type(part) is dict:
                if not _are_texts(part):
                    return False
                own: Iterable[Any] = part.values()
            elif type(part) is list:
                own = part
            else:
                return False
            for value in own:
                kind = type(value)
                if kind is str:
                    if not (value.isascii() or _is_text(value)):
                        return False
                elif kind is int:
                    if not _fits(value):
                        return False
                elif kind is not bool and value is not None:
                    below.append(value)
        if not below:
            return True
        level = below
    return False


def _are_texts(given: Iterable[object]) -> bool:
    try:
        return all(map(str.isascii, given)) or all(map(_is_text, given))  # type: ignore[arg-type]
    except TypeError:  # something else
        return False


def _fits(number: int) -> bool:
    return -(1 << 63) <= number < 1 << 64


def _is_text(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any, path: Path, depth: int) -> Any:
    """A value as JSON holds it, or `_Unreadable`."""
    if depth == 0:
        raise _Unreadable(path, "nested too deeply, or an object that holds itself")
    match value:
        case None | bool():
            return value
        case str():
            return _text(value, path)
        case Integral():
            if not _fits(int(value)):
                raise _Unreadable(path, "a number that fits no field")
            return int(value)
        case Real():  # a column of a data frame has 80 as 80.0
            number = float(value)
            if not math.isfinite(number):
                raise _Unreadable(path, f"{number} is no number of a manifest")
            return int(number) if number.is_integer() else number
        case date() | datetime():  # which readers of YAML make of a timestamp
            return msgspec.to_builtins(value)
        case Mapping():
            pairs = ((_key(key, path), own) for key, own in value.items())
            return {name: _plain(own, path / name, depth - 1) for name, own in pairs}
        case bytes() | bytearray() | memoryview():
            raise _Unreadable(path, "bytes are no text: decode them")
        case Sequence():
            return [_plain(own, path / number, depth - 1) for number, own in enumerate(value)]
    raise _Unreadable(path, f"{_kind(value)} is no part of a manifest{_hint(value)}")


def _key(key: object, path: Path) -> str:
    if not isinstance(key, str):
        raise _Unreadable(path, f"the key {key!r} is no text")
    return _text(key, path)


def _text(value: str, path: Path) -> str:
    text = str.__str__(value)  # of an enumeration its value
    if not _is_text(text):
        raise _Unreadable(path, "half of a character (a lone surrogate)")
    return text


def _hint(value: object) -> str:
    if hasattr(value, "openapi_types") or hasattr(value, "model_dump"):
        return f": {_WIRE}"
    if hasattr(value, "to_dict"):
        return ": its to_dict() may give one"
    return ""


def _recognised(own: Any) -> None:
    """Refuse what is no object and known to be given instead of one."""
    if not isinstance(own, dict):
        return  # is told like the same in a file
    if "items" in own or ("kind" in own and "apiVersion" in own):
        return
    if isinstance(own.get("object"), dict) and isinstance(own.get("type"), str):
        raise _Unreadable(ROOT, "a watch event: give its object")
    metadata, spec = (own.get(name) for name in ("metadata", "spec"))
    parts = [part for part in (own, metadata, spec) if isinstance(part, dict)]
    if any(name in part for part in parts for name in _SNAKE):
        raise _Unreadable(ROOT, f"fields in snake case: {_WIRE}")
    if isinstance(metadata, dict) and "kind" not in own and "apiVersion" not in own:
        text = "apiVersion, kind missing: items of a list lack them; give the list itself"
        raise _Unreadable(ROOT, text)
