"""The expressions that netpolc's rules are made of: typed values, and how each is laid out.

Comes in: expressions, or the attribute of a rule that holds them. Goes out: the other one of the
two. Refused (`RulesetError`): an expression that is not in the table `LAYOUTS`, one with an
attribute that is not in its layout, or without one that it needs. What the kernel adds where it
lists an expression is a default here, so that what is read equals what was written.

The layouts are those of linux/netfilter/nf_tables.h (`enum nft_payload_attributes` and so on), in
the order in which libnftables writes them. To add an expression: a class, a line in `LAYOUTS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from msgspec import NODEFAULT, Struct, structs

from netpolc.backends.nft.netlink.attributes import (
    as_number,
    by_type,
    each_attribute,
    nested,
    packed,
    text,
    zero_ended,
)
from netpolc.core.errors import RulesetError


class KernelVerdict(Struct, frozen=True, gc=False):
    """A verdict as the kernel has it: a code (`NF_ACCEPT`, `NFT_JUMP`, ...), and maybe a chain."""

    code: int
    chain: str = ""


class Payload(Struct, frozen=True, gc=False):
    """Load bytes of a header into a register; `base` 1 is the network header, 2 the transport's."""

    dreg: int
    base: int
    offset: int
    length: int


class Meta(Struct, frozen=True, gc=False):
    """Load what is known of a packet (`enum nft_meta_keys`) into a register."""

    key: int
    dreg: int


class Compare(Struct, frozen=True, gc=False):
    """Go on if a register compares so (`enum nft_cmp_ops`) with a value."""

    sreg: int
    op: int
    value: bytes


class WithinRange(Struct, frozen=True, gc=False):
    """Go on if a register is in a range, or with `op` 1 if it is not."""

    sreg: int
    op: int
    first: bytes
    last: bytes


class Bitwise(Struct, frozen=True, gc=False):
    """`dreg = (sreg & mask) ^ xor`."""

    sreg: int
    dreg: int
    length: int
    mask: bytes
    xor: bytes
    op: int = 0


class Byteorder(Struct, frozen=True, gc=False):
    """Turn numbers of `size` bytes in a register; nft 1.0.6 writes one that turns none."""

    sreg: int
    dreg: int
    op: int
    length: int
    size: int


class Lookup(Struct, frozen=True, gc=False):
    """Look a register up in a set; with `dreg` it is a map, and register 0 takes the verdict."""

    set_name: str
    sreg: int
    dreg: int | None = None
    set_id: int | None = None
    """Names a set of the same transaction; the kernel does not list it."""
    flags: int = 0


class Immediate(Struct, frozen=True, gc=False):
    """Put a verdict into register 0."""

    dreg: int
    verdict: KernelVerdict


class CountPacket(Struct, frozen=True, gc=False):
    """Count in the element itself (`counter` of a set), from so many bytes and packets on."""

    size: int = 0
    packets: int = 0


class ObjectReference(Struct, frozen=True, gc=False):
    """Use a named object: of type 1 it is a counter."""

    type: int
    name: str


class Track(Struct, frozen=True, gc=False):
    """Load what is known of a flow (`enum nft_ct_keys`), or with `sreg` set it."""

    key: int
    dreg: int | None = None
    sreg: int | None = None


class Fib(Struct, frozen=True, gc=False):
    """Look an address up in the routing table; `result` 3 is its type, `flags` 1 the source."""

    dreg: int
    result: int
    flags: int


class Prefixed(Struct, frozen=True, gc=False):
    """Log with a prefix, at the level that the kernel takes by itself."""

    prefix: str
    level: int = 4
    flags: int = 0


class Limit(Struct, frozen=True, gc=False):
    """Go on at most `rate` times in `unit` seconds, and `burst` more."""

    rate: int
    unit: int
    burst: int
    type: int = 0
    flags: int = 0


class Refuse(Struct, frozen=True, gc=False):
    """Answer: `type` 1 is a TCP reset, 2 what ICMP and ICMPv6 both have; `code` of the latter."""

    type: int
    code: int = 0


Expression = (
    Payload
    | Meta
    | Compare
    | WithinRange
    | Bitwise
    | Byteorder
    | Lookup
    | Immediate
    | CountPacket
    | ObjectReference
    | Track
    | Fib
    | Prefixed
    | Limit
    | Refuse
)

# Layouts
# ----------------------------------------------------------------------------------------------


class _Form(Struct, frozen=True, gc=False):
    """How a kind of content is written and read."""

    write: Callable[[int, Any], bytes]
    read: Callable[[bytes], Any]


def _of_size(size: int) -> _Form:
    return _Form(
        lambda kind, value: packed(kind, value.to_bytes(size, "big")),
        lambda content: as_number(content, size),
    )


_DATA_VALUE, _DATA_VERDICT, _CODE, _CHAIN = 1, 2, 1, 2


def _data(content: bytes) -> bytes:
    match list(each_attribute(content)):
        case [(kind, value)] if kind == _DATA_VALUE:
            return value
    raise RulesetError(f"netlink: not a value: {content.hex()}")


def write_verdict(kind: int, own: KernelVerdict) -> bytes:
    """An attribute with a verdict."""
    chain = packed(_CHAIN, zero_ended(own.chain)) if own.chain else b""
    code = packed(_CODE, (own.code & 0xFFFFFFFF).to_bytes(4, "big"))
    return nested(kind, nested(_DATA_VERDICT, code, chain))


@lru_cache(1 << 12)
def read_verdict(content: bytes) -> KernelVerdict:
    """The verdict in an attribute."""
    match list(each_attribute(content)):
        case [(kind, inner)] if kind == _DATA_VERDICT:
            found = by_type(inner)
            code = as_number(found.pop(_CODE, b""))
            chain = text(found.pop(_CHAIN, b""))
            if not found:
                return KernelVerdict(code - (code >> 31 << 32), chain)
    raise RulesetError(f"netlink: not a verdict: {content.hex()}")


_U8, _U32, _U64 = _of_size(1), _of_size(4), _of_size(8)
_TEXT = _Form(lambda kind, value: packed(kind, zero_ended(value)), text)
_NAME = _Form(lambda kind, value: packed(kind, value.encode("ascii")), text)  # no zero at its end
_VALUE = _Form(lambda kind, value: nested(kind, packed(_DATA_VALUE, value)), _data)
_VERDICT = _Form(write_verdict, read_verdict)

Layout = tuple[str, tuple[tuple[int, str, _Form], ...]]
LAYOUTS: dict[type, Layout] = {
    Payload: (
        "payload",
        ((1, "dreg", _U32), (2, "base", _U32), (3, "offset", _U32), (4, "length", _U32)),
    ),
    Meta: ("meta", ((2, "key", _U32), (1, "dreg", _U32))),
    Compare: ("cmp", ((1, "sreg", _U32), (2, "op", _U32), (3, "value", _VALUE))),
    WithinRange: (
        "range",
        ((1, "sreg", _U32), (2, "op", _U32), (3, "first", _VALUE), (4, "last", _VALUE)),
    ),
    Bitwise: (
        "bitwise",
        (
            (1, "sreg", _U32),
            (2, "dreg", _U32),
            (6, "op", _U32),
            (3, "length", _U32),
            (4, "mask", _VALUE),
            (5, "xor", _VALUE),
        ),
    ),
    Byteorder: (
        "byteorder",
        (
            (1, "sreg", _U32),
            (2, "dreg", _U32),
            (3, "op", _U32),
            (4, "length", _U32),
            (5, "size", _U32),
        ),
    ),
    Lookup: (
        "lookup",
        (
            (2, "sreg", _U32),
            (3, "dreg", _U32),
            (1, "set_name", _TEXT),
            (4, "set_id", _U32),
            (5, "flags", _U32),
        ),
    ),
    Immediate: ("immediate", ((1, "dreg", _U32), (2, "verdict", _VERDICT))),
    CountPacket: ("counter", ((1, "size", _U64), (2, "packets", _U64))),
    ObjectReference: ("objref", ((1, "type", _U32), (2, "name", _NAME))),
    Track: ("ct", ((2, "key", _U32), (1, "dreg", _U32), (4, "sreg", _U32))),
    Fib: ("fib", ((3, "flags", _U32), (2, "result", _U32), (1, "dreg", _U32))),
    Prefixed: ("log", ((2, "prefix", _TEXT), (5, "level", _U32), (6, "flags", _U32))),
    Limit: (
        "limit",
        (
            (1, "rate", _U64),
            (2, "unit", _U64),
            (3, "burst", _U32),
            (4, "type", _U32),
            (5, "flags", _U32),
        ),
    ),
    Refuse: ("reject", ((1, "type", _U32), (2, "code", _U8))),
}
"""The name of each expression, and its attributes: type, field, form."""
_ALWAYS = {(Bitwise, "op"), (Limit, "type"), (Limit, "flags"), (Refuse, "code")}
"""Defaults that libnftables writes all the same."""
_ELEMENT, _EXPRESSION_NAME, _EXPRESSION_DATA = 1, 1, 2  # NFTA_LIST_ELEM, NFTA_EXPR_...
_DEFAULTS: dict[type, dict[str, Any]] = {
    kind: {own.name: own.default for own in structs.fields(kind) if own.default is not NODEFAULT}
    for kind in LAYOUTS
}
_KINDS = {name: kind for kind, (name, _) in LAYOUTS.items()}


def write_expression(kind: int, own: Expression) -> bytes:
    """An attribute with one expression."""
    name, layout = LAYOUTS[type(own)]
    defaults = _DEFAULTS[type(own)]
    parts = []
    for attribute, field, form in layout:
        value = getattr(own, field)
        if field in defaults and value == defaults[field] and (type(own), field) not in _ALWAYS:
            continue
        parts.append(form.write(attribute, value))
    data = nested(_EXPRESSION_DATA, *parts)
    return nested(kind, packed(_EXPRESSION_NAME, zero_ended(name)), data)


def write_expressions(kind: int, own: Iterable[Expression]) -> bytes:
    """An attribute with the expressions of a rule."""
    return nested(kind, *(_written(one) for one in own))


@lru_cache(1 << 12)
def _written(own: Expression) -> bytes:
    return write_expression(_ELEMENT, own)


@lru_cache(1 << 12)
def read_expression(content: bytes) -> Expression:
    """The expression in an attribute."""
    found = by_type(content)
    name = text(found.get(_EXPRESSION_NAME, b""))
    kind = _KINDS.get(name)
    if kind is None:
        raise RulesetError(f"not of netpolc's making: expression {name!r}")
    values = by_type(found.get(_EXPRESSION_DATA, b""))
    given = {
        field: form.read(values.pop(attribute))
        for attribute, field, form in LAYOUTS[kind][1]
        if attribute in values
    }
    values.pop(_PADDING.get(kind, -1), None)
    missing = [own for _, own, _ in LAYOUTS[kind][1] if own not in given | _DEFAULTS[kind]]
    if values or missing:
        what = f"without {missing[0]}" if missing else f"with attribute {min(values)}"
        raise RulesetError(f"not of netpolc's making: expression {name} {what}")
    made: Expression = kind(**given)
    return made


_PADDING: dict[type, int] = {CountPacket: 3, Limit: 6}
"""NFTA_COUNTER_PAD, NFTA_LIMIT_PAD: empty, so that numbers of eight bytes are aligned."""


def read_expressions(content: bytes) -> tuple[Expression, ...]:
    """The expressions of a rule."""
    return tuple(read_expression(own) for _, own in each_attribute(content))
