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
_SANITIZED = "ApiClient().sanitize_for_serialization(object)"
_CALLS = {
    "openapi_types": _SANITIZED,  # kubernetes, kubernetes_asyncio
    "model_dump": "object.model_dump(by_alias=True)",  # pydantic: kubernetes, cloudcoil
    "to_dict": "object.to_dict()",  # lightkube, kr8s, kubesdk
}
"""What gives the wire form of an object of a client, by an attribute that tells the client."""
_WIRE = (
    "fields in snake case: the wire form has names such as apiVersion: "
    f"{_SANITIZED} of kubernetes gives it, object.model_dump(by_alias=True) of pydantic models"
)


class _Unreadable(Exception):
    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason


def plain_objects(objects: object, problems: Problems) -> list[Any]:
    """The objects in plain values; what cannot be read is in `problems`, and not among them."""
    instead = _instead(objects)
    if instead or not isinstance(objects, Iterable):
        problems.add("objects", "", instead or f"{_kind(objects)} and no list of objects: give one")
        return []
    found = []
    for number, given in enumerate(objects):
        try:
            _recognise(given)
            own = given if _is_plain(given) else _plain(given, ROOT, DEPTH)
        except _Unreadable as problem:
            problems.add(f"objects[{number}]", str(problem.path), problem.reason)
        else:
            found.append(own)
    return found


def _instead(objects: object) -> str:
    """What to give instead of one object or of text; empty for anything else."""
    if isinstance(objects, str | bytes | bytearray):
        return f"{_kind(objects)} and no list of objects: netpolc.load reads files and text"
    if isinstance(objects, Mapping):
        return "one object and no list of objects: give [object]"
    call = _call(objects)
    return f"one {type(objects).__name__} and no list of objects: give [{call}]" if call else ""


def _call(value: object) -> str:
    """What gives the wire form of an object of a client; empty for what is none."""
    return next((call for name, call in _CALLS.items() if hasattr(value, name)), "")


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'AEIOUaeiou' else 'a'} {name}"


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
    call = _call(value)
    return f": {call} gives the wire form" if call else ""


def _recognise(given: object) -> None:
    """Refuse what is no object and known to be given instead of one."""
    if isinstance(given, Sequence) and not isinstance(given, str | bytes | bytearray):
        if len(given) == 2 and isinstance(given[0], str):
            raise _Unreadable(ROOT, "a watch event: give its object")
        raise _Unreadable(ROOT, "a list and no object: give all objects in one list")
    if not isinstance(given, Mapping):
        raise _Unreadable(ROOT, f"{_kind(given)} and no object{_hint(given)}")
    if "items" in given:
        _recognise_items(given["items"])
    elif "kind" not in given or "apiVersion" not in given:
        _recognise_part(given)


def _recognise_items(items: object) -> None:
    if isinstance(items, list | tuple):
        for number, own in enumerate(items):
            if isinstance(own, Mapping) and _is_snake(own):
                raise _Unreadable(ROOT / "items" / number, _WIRE)


def _recognise_part(given: Mapping[Any, Any]) -> None:
    """Refuse an object without a kind or a version."""
    if "object" in given and isinstance(given.get("type"), str):
        raw = "raw_object" if "raw_object" in given else "object"
        raise _Unreadable(ROOT, f"a watch event: give its {raw}")
    if _is_snake(given):
        raise _Unreadable(ROOT, _WIRE)
    text = ", ".join(name for name in ("apiVersion", "kind") if name not in given)
    hint = ": items of a list lack them; give the list itself" if text == "apiVersion, kind" else ""
    raise _Unreadable(ROOT, f"{text} missing{hint}")


def _is_snake(given: Mapping[Any, Any]) -> bool:
    if "kind" in given and "apiVersion" in given:
        return False
    parts = (given, given.get("metadata"), given.get("spec"))
    return any(name in part for part in parts if isinstance(part, Mapping) for name in _SNAKE)
