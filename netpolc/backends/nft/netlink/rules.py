"""Rules of the model as expressions.

Comes in: a rule. Goes out: its expressions, in the order in which packets meet them. Refused
(`UnsupportedError`): a mark of no generation.

What a match needs to know of a packet is asked before it, once in a rule: the family before an
address (`meta nfproto`), the protocol before a port (`meta l4proto`), as nft does it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import assert_never

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import expressions as ex
from netpolc.backends.nft.wording import DEFAULT_BURST, plain
from netpolc.core.errors import UnsupportedError
from netpolc.core.nets import IPV6, PORTS, Family, Protocol, prefix_length

# Registers: 1 to 4 have 16 bytes each; from 8 on the same in four bytes each.
_VERDICT_REGISTER, FIRST_REGISTER, _SMALL_REGISTERS = 0, 1, 8
NETWORK, TRANSPORT = 1, 2
"""Bases of payload (NFT_PAYLOAD_...)."""
EQUAL, UNEQUAL = 0, 1
"""NFT_CMP_EQ, NFT_CMP_NEQ."""
IIF, IIFNAME, OIFNAME, NFPROTO, L4PROTO, OIFKIND = 4, 6, 7, 15, 16, 27
"""Keys of meta (NFT_META_...)."""
CT_STATE, CT_DIRECTION, CT_MARK = 0, 1, 3
"""Keys of ct (NFT_CT_...)."""
NUMBER_OF = {Family.IPV4: 2, Family.IPV6: 10}
"""NFPROTO_IPV4, NFPROTO_IPV6."""
OFFSET = {
    (Family.IPV4, "saddr"): 12,
    (Family.IPV4, "daddr"): 16,
    (Family.IPV6, "saddr"): 8,
    (Family.IPV6, "daddr"): 24,
}
WIDTH = {Family.IPV4: 4, Family.IPV6: 16}
PORT_OFFSET = {"sport": 0, "dport": 2}
STATE_BITS = {"invalid": 1, "established": 2, "related": 4, "new": 8, "untracked": 64}
"""IP_CT_... as `ct state` has them."""
ICMPV6 = 58
NEIGHBOURS = b"\x85", b"\x89"
"""ICMPv6 types 133 to 137."""
ACK = b"\x10"
FLAGS_OFFSET, HOPLIMIT_OFFSET = 13, 7
BRIDGE = b"bridge".ljust(16, b"\0")
LINK_WIDTH = 16
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
LOCAL, SOURCE_ADDRESS, ADDRESS_TYPE = 2, 1, 3
"""RTN_LOCAL; NFTA_FIB_F_SADDR; NFT_FIB_RESULT_ADDRTYPE."""
TCP_RESET, ICMPX, PROHIBITED = 1, 2, 3
"""NFT_REJECT_TCP_RST, NFT_REJECT_ICMPX_UNREACH; NFT_REJECT_ICMPX_ADMIN_PROHIBITED."""
COUNTER = 1
"""NFT_OBJECT_COUNTER."""
CODES = {
    model.Action.DROP: 0,
    model.Action.ACCEPT: 1,
    model.Action.JUMP: -3,
    model.Action.GOTO: -4,
    model.Action.RETURN: -5,
}
"""NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO, NFT_RETURN."""
_ALL = 0xFFFFFFFF


def code(action: model.Action) -> int:
    """The number of a verdict."""
    return CODES[action]


def native(value: int, size: int = 4) -> bytes:
    """A number as this machine has it: what is known of a packet, not what is in it."""
    return value.to_bytes(size, sys.byteorder)


def number_here(value: bytes) -> int:
    """The number that `native` wrote."""
    return int.from_bytes(value, sys.byteorder)


@lru_cache(1 << 12)
def expressions(rule: model.Rule) -> tuple[ex.Expression, ...]:
    """The expressions of a rule."""
    writer = _Writer()
    for match in rule.matches:
        writer.match(match)
    for statement in rule.statements:
        writer.statement(statement)
    return tuple(writer.made)


@dataclass(slots=True)
class _Writer:
    """What has been made of a rule, and what is known of packets that come so far."""

    made: list[ex.Expression] = field(default_factory=list)
    family: int = 0
    protocol: int = 0

    def match(self, match: model.Match) -> None:
        match match:
            case model.PortMatch():
                self._ports(match)
            case model.SpanMatch():
                self._span(match)
            case model.SetMatch(end, version, name, interval):
                self._address_key(end, version, interval)
                self._lookup(name)
            case model.PairMatch(version, name):
                self._needs_family(NUMBER_OF[version])
                self._load([_address(version, "saddr"), _address(version, "daddr")])
                self._lookup(name)
            case model.NamedLink(end, name):
                self.made.append(ex.Meta(IIFNAME if end == "iifname" else OIFNAME, FIRST_REGISTER))
                self._lookup(name)
            case model.OnLink():
                self._needs_family(NUMBER_OF[Family.IPV6])
                self.made += _equal(_load_bytes(NETWORK, HOPLIMIT_OFFSET, 1), b"\xff")
            case model.NeighbourDiscovery():
                self._needs_family(NUMBER_OF[Family.IPV6])
                self._needs_protocol(ICMPV6)
                self.made.append(_load_bytes(TRANSPORT, 0, 1))
                self.made.append(ex.WithinRange(FIRST_REGISTER, EQUAL, *NEIGHBOURS))
            case model.Acknowledges():
                self._needs_protocol(Protocol.TCP)
                self.made += _any_of(_load_bytes(TRANSPORT, FLAGS_OFFSET, 1), ACK)
            case _:
                self.made += _of_flow_or_link(match)

    def statement(self, statement: model.Statement) -> None:
        match statement:
            case model.AddressLookup(end, version, name):
                self._address_key(end, version, False)
                self._lookup(name, verdicts=True)
            case model.NetworkLookup(end, version, name):
                self._address_key(end, version, True)
                self._lookup(name, verdicts=True)
            case model.PortLookup(name, interval, end):
                port = _load_bytes(TRANSPORT, PORT_OFFSET[end], 2)
                both: list[ex.Payload | ex.Meta] = [port, ex.Meta(L4PROTO, FIRST_REGISTER)]
                self._load(both if interval else both[::-1])
                self._lookup(name, verdicts=True)
            case model.Count(name):
                self.made.append(ex.ObjectReference(COUNTER, name))
            case model.MarkFlow():
                self.made += _set_mark(statement)
            case model.Log(prefix, rate):
                number, _, unit = rate.partition("/")
                self.made.append(ex.Limit(int(number), SECONDS[unit], DEFAULT_BURST))
                self.made.append(ex.Prefixed(plain(prefix)))
            case model.Reject(tcp_reset):
                if tcp_reset:
                    self._needs_protocol(Protocol.TCP)
                self.made.append(
                    ex.Refuse(TCP_RESET, 0) if tcp_reset else ex.Refuse(ICMPX, PROHIBITED)
                )
            case model.Verdict(action, chain):
                decision = ex.KernelVerdict(code(action), chain)
                self.made.append(ex.Immediate(_VERDICT_REGISTER, decision))
            case _:
                assert_never(statement)

    def _needs_family(self, number: int) -> None:
        if self.family != number:
            self.family = number
            self.made += _equal(ex.Meta(NFPROTO, FIRST_REGISTER), bytes((number,)))

    def _needs_protocol(self, number: int) -> None:
        if self.protocol != number:
            self.protocol = number
            self.made += _equal(ex.Meta(L4PROTO, FIRST_REGISTER), bytes((number,)))

    def _ports(self, match: model.PortMatch) -> None:
        self._needs_protocol(match.protocol)
        if (match.first, match.last) == (0, PORTS - 1):
            return
        self.made.append(_load_bytes(TRANSPORT, PORT_OFFSET[match.field], 2))
        self._compare(*(port.to_bytes(2, "big") for port in (match.first, match.last)))

    def _span(self, match: model.SpanMatch) -> None:
        version = Family.IPV6 if match.span[0] >= IPV6 else Family.IPV4
        width, base = WIDTH[version], IPV6 if version is Family.IPV6 else 0
        first, last = ((own - base).to_bytes(width, "big") for own in match.span)
        self._needs_family(NUMBER_OF[version])
        load = _address(version, match.field)
        length = prefix_length(match.span)
        if length is not None and length and length % 8 == 0:
            used = length // 8
            short = _load_bytes(NETWORK, load.offset, used)
            self.made += _equal(short, first[:used])
        elif length is not None:
            mask = (-1 << width * 8 - length & (1 << width * 8) - 1).to_bytes(width, "big")
            self.made += [load, _masked(mask, bytes(width)), _compare(EQUAL, first)]
        else:
            self.made.append(load)
            self._compare(first, last)

    def _compare(self, first: bytes, last: bytes) -> None:
        if first == last:
            self.made.append(_compare(EQUAL, first))
        else:
            self.made.append(ex.WithinRange(FIRST_REGISTER, EQUAL, first, last))

    def _address_key(self, end: model.Field, version: Family, interval: bool) -> None:
        self._needs_family(NUMBER_OF[version])
        address = _address(version, end)
        self._load([address, ex.Meta(L4PROTO, FIRST_REGISTER)] if interval else [address])

    def _load(self, parts: Sequence[ex.Payload | ex.Meta]) -> None:
        self.made += in_registers(parts)

    def _lookup(self, name: str, *, verdicts: bool = False) -> None:
        dreg = _VERDICT_REGISTER if verdicts else None
        self.made.append(ex.Lookup(name, FIRST_REGISTER, dreg))


def in_registers(parts: Sequence[ex.Payload | ex.Meta]) -> Iterator[ex.Payload | ex.Meta]:
    """The same loads, one behind the other; each begins at a register of four bytes."""
    at = 0
    for part in parts:
        whole, rest = divmod(at, 4)
        register = FIRST_REGISTER + whole if rest == 0 else _SMALL_REGISTERS + at
        if isinstance(part, ex.Payload):
            yield ex.Payload(register, part.base, part.offset, part.length)
            at += (part.length + 3) // 4
        else:
            yield ex.Meta(part.key, register)
            at += 1


def _load_bytes(base: int, offset: int, length: int) -> ex.Payload:
    return ex.Payload(FIRST_REGISTER, base, offset, length)


def _address(version: Family, end: model.Field) -> ex.Payload:
    return _load_bytes(NETWORK, OFFSET[version, end], WIDTH[version])


def _compare(op: int, value: bytes) -> ex.Compare:
    return ex.Compare(FIRST_REGISTER, op, value)


def _equal(load: ex.Expression, value: bytes) -> list[ex.Expression]:
    return [load, _compare(EQUAL, value)]


def _masked(mask: bytes, xor: bytes) -> ex.Bitwise:
    return ex.Bitwise(FIRST_REGISTER, FIRST_REGISTER, len(mask), mask, xor)


def _any_of(load: ex.Expression, bits: bytes) -> list[ex.Expression]:
    nothing = bytes(len(bits))
    return [load, _masked(bits, nothing), _compare(UNEQUAL, nothing)]


def _of_flow_or_link(
    match: model.ConnectionState
    | model.ReplyDirection
    | model.FlowMark
    | model.OutOfBridge
    | model.NoInterface
    | model.LocalSource,
) -> list[ex.Expression]:
    match match:
        case model.ConnectionState(states):
            bits = sum(STATE_BITS[own] for own in states)
            return _any_of(ex.Track(CT_STATE, FIRST_REGISTER), native(bits))
        case model.ReplyDirection():
            return _equal(ex.Track(CT_DIRECTION, FIRST_REGISTER), b"\x01")
        case model.FlowMark(mask, value):
            load = ex.Track(CT_MARK, FIRST_REGISTER)
            if mask == _ALL:
                return _equal(load, native(_mark(value)))
            bits_of = _masked(native(mask), bytes(4))
            return [load, bits_of, _compare(EQUAL, native(_mark(value)))]
        case model.OutOfBridge():
            return _equal(ex.Meta(OIFKIND, FIRST_REGISTER), BRIDGE)
        case model.NoInterface():
            return _equal(ex.Meta(IIF, FIRST_REGISTER), bytes(4))
        case model.LocalSource():
            return _equal(ex.Fib(FIRST_REGISTER, ADDRESS_TYPE, SOURCE_ADDRESS), native(LOCAL))
        case _:
            assert_never(match)


def _set_mark(statement: model.MarkFlow) -> list[ex.Expression]:
    value = native(_mark(statement.value))
    return [
        ex.Track(CT_MARK, FIRST_REGISTER),
        _masked(native(~statement.mask & _ALL), value),
        ex.Track(CT_MARK, None, FIRST_REGISTER),
    ]


def _mark(value: int) -> int:
    if value > _ALL:
        raise UnsupportedError("a rule has a mark of no generation")
    return value
