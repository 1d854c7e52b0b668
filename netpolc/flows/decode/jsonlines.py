"""JSON lines of our own names (`records.Record`): a flat object a line.

`src` and `dst` are addresses or `namespace/pod`; times are RFC 3339 or seconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from netpolc.flows.decode.lines import LogLine, Told, read_lines
from netpolc.flows.records import EGRESS, INGRESS, NAMES, Record
from netpolc.flows.values import moment, port_of, protocol_number, verdict_of, whole, word

NAME = "jsonl"
KEYS = ({"src", "dst", "protocol"}, {"src_pod", "dst_pod", "protocol"})
Value = str | int | float | bool | None
_decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_value = msgspec.json.Decoder(Value).decode
_BOOLEANS = {"true": True, "false": False}


def records(lines: Iterator[LogLine], told: Told) -> Iterator[Record]:
    """A record for each object; fields of other names are counted."""
    return read_lines(lines, told, lambda line: _read(line, told))


def _read(line: LogLine, told: Told) -> Record | None:
    found = _decode(line.content)
    for name in unknown_names(found):
        told.note(line, f"field {name} has no meaning here")
    if not any(keys <= found.keys() for keys in KEYS):
        raise ValueError("an object with src, dst, protocol and port is expected")
    return record_of({name: _value(found[name]) for name in NAMES if name in found})


def unknown_names(names: Iterable[str]) -> list[str]:
    """Those that the schema does not have."""
    return [name for name in names if name not in NAMES]


def record_of(row: Mapping[str, Value]) -> Record:
    """A row of our own names; `ValueError` for a value that is none of its kind."""
    protocol = protocol_number(_number(row, "protocol"))
    src, src_pod = _end(row, "src")
    dst, dst_pod = _end(row, "dst")
    direction = _text(row, "direction")
    if direction not in (None, EGRESS, INGRESS):
        raise ValueError(f"direction {direction!r}: egress or ingress is expected")
    given = row.get("ts")
    if isinstance(given, bool):
        raise ValueError("ts: a time is expected")
    return Record(
        ts=moment(given),
        src=src,
        dst=dst,
        src_port=port_of(_number(row, "src_port"), protocol),
        protocol=protocol,
        port=port_of(_number(row, "port"), protocol),
        direction=direction,
        is_reply=_boolean(row, "is_reply"),
        verdict=verdict_of(_text(row, "verdict")),
        reporter=_text(row, "reporter"),
        packets=whole(_number(row, "packets")),
        bytes=whole(_number(row, "bytes")),
        policy=_text(row, "policy"),
        src_pod=src_pod,
        dst_pod=dst_pod,
        problem=_text(row, "problem"),
    )


def _end(row: Mapping[str, Value], name: str) -> tuple[str | None, str | None]:
    """The address and the pod of an end; a pod may stand where an address is expected."""
    end, pod = _text(row, name), _text(row, f"{name}_pod")
    return (None, end) if end is not None and "/" in end else (end, pod)


def _text(row: Mapping[str, Value], name: str) -> str | None:
    given = row.get(name)
    if given is not None and not isinstance(given, str):
        raise ValueError(f"{name}: text is expected")
    return word(given)


def _number(row: Mapping[str, Value], name: str) -> str | int | None:
    given = row.get(name)
    if isinstance(given, float) and given.is_integer():
        return int(given)
    if isinstance(given, bool | float):
        raise ValueError(f"{name}: a number is expected")
    return given


def _boolean(row: Mapping[str, Value], name: str) -> bool | None:
    given = row.get(name)
    if isinstance(given, str):
        given = None if word(given) is None else _BOOLEANS.get(given.lower(), given)
    if given is not None and not isinstance(given, bool):
        raise ValueError(f"{name}: true or false is expected")
    return given
