"""Expressions of the kernel as rules of the model.

Comes in: the expressions of a rule, whoever wrote them: netpolc, or nft of any release. Goes out:
the one rule of the model that has this meaning. Refused (`RulesetError`): what no rule of netpolc's
says, so that a table with it is never taken for one that netpolc loaded.

Loads are followed through registers until something asks for them: what a comparison means is known
from what was loaded, not from words. A comparison of the family or of the protocol only prepares
the next one, unless the protocol is all that is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from netpolc.backends.nft import model
from netpolc.backends.nft.netlink import expressions as ex
from netpolc.backends.nft.netlink import rules
from netpolc.backends.nft.netlink.reading.registers import Load, Registers, foreign_words
from netpolc.backends.nft.wording import DEFAULT_BURST, STATES
from netpolc.core.errors import RulesetError
from netpolc.core.nets import IPV6, PORTS, Family, Protocol, Span

_AT_LEAST, _AT_MOST = 5, 3  # NFT_CMP_GTE, NFT_CMP_LTE
_ALL = 0xFFFFFFFF
_PORTS = {offset: end for end, offset in rules.PORT_OFFSET.items()}
_ACTIONS = {number: action for action, number in rules.CODES.items()}
_UNITS = {seconds: unit for unit, seconds in rules.SECONDS.items()}
_LINKS = {rules.IIFNAME: "iifname", rules.OIFNAME: "oifname"}
_PROTOCOLS = {int(own): own for own in Protocol}
_FIRST = rules.FIRST_REGISTER


@lru_cache(1 << 14)
def recognised(expressions: tuple[ex.Expression, ...], comment: str) -> model.Rule:
    """The rule that has these expressions."""
    reader = _Reader()
    for own in _normal(expressions):
        reader.read(own)
    reader.end()
    return model.Rule(tuple(reader.matches), tuple(reader.statements), comment)


def action(own: ex.KernelVerdict | None) -> model.Action:
    """What a verdict does; one that leads to a chain has one, and no other has."""
    found = _ACTIONS.get(own.code) if own is not None else None
    if own is None or found is None or bool(own.chain) != (found in _LEADING):
        raise foreign_words(own)
    return found


_LEADING = (model.Action.JUMP, model.Action.GOTO)


def _normal(expressions: Iterable[ex.Expression]) -> Iterator[ex.Expression]:
    """Without what releases of nft say differently: ranges as two comparisons, and turning the
    bytes of a number of one byte.
    """
    low: ex.Compare | None = None
    for own in expressions:
        if low is not None:
            if not isinstance(own, ex.Compare) or (own.sreg, own.op) != (low.sreg, _AT_MOST):
                raise foreign_words(low)
            yield ex.WithinRange(own.sreg, rules.EQUAL, low.value, own.value)
            low = None
        elif isinstance(own, ex.Compare) and own.op == _AT_LEAST:
            low = own
        elif isinstance(own, ex.Byteorder) and own.length < own.size and own.sreg == own.dreg:
            continue
        else:
            yield own
    if low is not None:
        raise foreign_words(low)


@dataclass(slots=True)
class _Reader:
    """What has been read of a rule."""

    matches: list[model.Match] = field(default_factory=list)
    statements: list[model.Statement] = field(default_factory=list)
    registers: Registers = field(default_factory=Registers)
    protocol: int | None = None
    protocol_waits: Protocol | None = None
    """Compared, and nothing has needed it yet."""
    discovery_waits: bool = False
    """ICMPv6 was compared, which in a rule of netpolc's only the types of discovery need."""
    limit: ex.Limit | None = None

    def read(self, own: ex.Expression) -> None:
        if self.limit is not None and not isinstance(own, ex.Prefixed):
            raise foreign_words(self.limit)
        match own:
            case ex.Track(sreg=int()):
                self._set_mark(own)
            case ex.Payload() | ex.Meta() | ex.Track() | ex.Fib():
                self.registers.load(own)
            case ex.Bitwise(sreg=1, dreg=1, op=0):
                self.registers.mask(own)
            case ex.Compare() | ex.WithinRange() if own.sreg == _FIRST and self._may_compare():
                self._compare(own)
            case ex.Lookup(sreg=1, flags=0, dreg=None) if not self.statements:
                self._match(self._member(own.set_name))
            case ex.Lookup(sreg=1, flags=0, dreg=0):
                self._state(self._mapped(own.set_name))
            case _:
                self._state(self._statement(own))

    def _may_compare(self) -> bool:
        """Matches come before statements; what only prepares a lookup may come between them."""
        return not self.statements or self.registers.loads == [ex.Meta(rules.NFPROTO, _FIRST)]

    def end(self) -> None:
        self._settle()
        if self.registers.loads or self.limit is not None:
            raise foreign_words(self.registers.loads or self.limit)
        if not self.registers.family_asked:
            raise RulesetError("not of netpolc's making: a rule that only asks for the family")

    # What a rule says

    def _match(self, *found: model.Match) -> None:
        self._settle()
        self.matches.extend(found)

    def _state(self, found: model.Statement | None) -> None:
        self._settle()
        if found is not None:
            if self.registers.loads:
                raise foreign_words(self.registers.loads)
            self.statements.append(found)

    def _settle(self) -> None:
        """A protocol that nothing else needed is all that was asked."""
        if self.discovery_waits:
            raise RulesetError("not of netpolc's making: a rule for all of ICMPv6")
        if self.protocol_waits is not None:
            self.matches.append(model.PortMatch(self.protocol_waits, 0, PORTS - 1))
            self.protocol_waits = None

    # Comparisons

    def _compare(self, own: ex.Compare | ex.WithinRange) -> None:
        loads, bits = self.registers.taken()
        match loads, own:
            case [ex.Meta(rules.NFPROTO)], ex.Compare(op=rules.EQUAL, value=value) if not bits:
                self._settle()
                self.registers.knows_family(value)
            case [ex.Meta(rules.L4PROTO)], ex.Compare(op=rules.EQUAL, value=value) if not bits:
                self._knows_protocol(value)
            case [ex.Payload(base=rules.TRANSPORT) as load], _:
                self._transport(load, bits, own)
            case [ex.Payload() as load], _:
                self._match(self._network(load, bits, own))
            case [load], ex.Compare():
                self._match(_of_flow_or_link(load, bits, own))
            case _:
                raise foreign_words(own)

    def _knows_protocol(self, value: bytes) -> None:
        self._settle()
        if len(value) != 1 or self.protocol is not None:
            raise RulesetError(f"not of netpolc's making: protocol {value.hex()}")
        self.protocol = value[0]
        self.protocol_waits = _PROTOCOLS.get(self.protocol)
        self.discovery_waits = self.protocol == rules.ICMPV6
        if self.protocol_waits is None and not self.discovery_waits:
            raise RulesetError(f"not of netpolc's making: protocol {self.protocol}")

    def _transport(
        self, load: ex.Payload, bits: ex.Bitwise | None, own: ex.Compare | ex.WithinRange
    ) -> None:
        self.protocol_waits = None
        known = _PROTOCOLS.get(self.protocol or -1)
        match load, bits, own:
            case ex.Payload(offset=offset, length=2), None, _ if offset in _PORTS and known:
                first, last = (int.from_bytes(value, "big") for value in _bounds(own, 2))
                end: model.PortField = "dport" if _PORTS[offset] == "dport" else "sport"
                self.matches.append(model.PortMatch(known, first, last, end))
            case (
                ex.Payload(offset=rules.FLAGS_OFFSET, length=1),
                ex.Bitwise(mask=rules.ACK, xor=b"\0"),
                ex.Compare(op=rules.UNEQUAL, value=b"\0"),
            ) if known is Protocol.TCP:
                self.matches.append(model.Acknowledges())
            case ex.Payload(offset=0, length=1), None, ex.WithinRange(op=rules.EQUAL) if (
                self.protocol,
                self.registers.family,
            ) == (rules.ICMPV6, Family.IPV6) and (own.first, own.last) == rules.NEIGHBOURS:
                self.registers.family_asked = True
                self.discovery_waits = False
                self.matches.append(model.NeighbourDiscovery())
            case _:
                raise foreign_words(own)

    def _network(
        self, load: ex.Payload, bits: ex.Bitwise | None, own: ex.Compare | ex.WithinRange
    ) -> model.Match:
        if (load.base, load.offset, load.length) == (rules.NETWORK, rules.HOPLIMIT_OFFSET, 1):
            if (
                self.registers.family is Family.IPV6
                and bits is None
                and _bounds(own, 1) == (b"\xff",) * 2
            ):
                self.registers.family_asked = True
                return model.OnLink()
            raise foreign_words(own)
        found = self.registers.beginning(load)
        if found is None:
            raise foreign_words(load)
        end, version = found
        return model.SpanMatch(end, _span(version, load.length, bits, own))

    # Sets and maps

    def _member(self, name: str) -> model.Match:
        match self.registers.key():
            case [ex.Meta(key)] if key in _LINKS:
                link: model.LinkField = "iifname" if key == rules.IIFNAME else "oifname"
                return model.NamedLink(link, name)
            case [load]:
                return model.SetMatch(*self.registers.address(load), name, False)
            case [load, ex.Meta(rules.L4PROTO)]:
                return model.SetMatch(*self.registers.address(load), name, True)
            case [one, other]:
                ends = self.registers.address(one), self.registers.address(other)
                if [end for end, _ in ends] == ["saddr", "daddr"]:
                    return model.PairMatch(ends[0][1], name)
        raise RulesetError(f"not of netpolc's making: a lookup in {name}")

    def _mapped(self, name: str) -> model.Statement:
        match self.registers.key():
            case [ex.Payload(base=rules.TRANSPORT, length=2) as port, ex.Meta(rules.L4PROTO)]:
                return model.PortLookup(name, True, _port_field(port))
            case [ex.Meta(rules.L4PROTO), ex.Payload(base=rules.TRANSPORT, length=2) as port]:
                return model.PortLookup(name, False, _port_field(port))
            case [load]:
                return model.AddressLookup(*self.registers.address(load), name)
            case [load, ex.Meta(rules.L4PROTO)]:
                return model.NetworkLookup(*self.registers.address(load), name)
        raise RulesetError(f"not of netpolc's making: a lookup in {name}")

    # Statements

    def _statement(self, own: ex.Expression) -> model.Statement | None:
        match own:
            case ex.Immediate(0, verdict):
                return model.Verdict(action(verdict), verdict.chain)
            case ex.ObjectReference(rules.COUNTER, name):
                return model.Count(name)
            case ex.Limit(burst=burst, type=0, flags=0) if (
                self.limit is None and burst == DEFAULT_BURST and own.unit in _UNITS
            ):
                self.limit = own
                return None
            case ex.Prefixed(prefix, 4, 0) if self.limit is not None:
                limit, self.limit = self.limit, None
                return model.Log(prefix, f"{limit.rate}/{_UNITS[limit.unit]}")
            case ex.Refuse(rules.TCP_RESET, 0) if self.protocol == Protocol.TCP:
                return model.Reject(tcp_reset=True)
            case ex.Refuse(rules.ICMPX, rules.PROHIBITED):
                return model.Reject(tcp_reset=False)
        raise foreign_words(own)

    def _set_mark(self, own: ex.Track) -> None:
        loads, bits = self.registers.taken()
        match loads:
            case [ex.Track(key=rules.CT_MARK)] if bits and own == ex.Track(
                rules.CT_MARK, None, _FIRST
            ):
                kept, value = (_number(part) for part in (bits.mask, bits.xor))
                if kept & value == 0:
                    self._state(model.MarkFlow(~kept & _ALL, value))
                    return
        raise foreign_words(own)


def _port_field(load: ex.Payload) -> model.PortField:
    if load.offset not in _PORTS:
        raise foreign_words(load)
    return "dport" if _PORTS[load.offset] == "dport" else "sport"


def _bounds(own: ex.Compare | ex.WithinRange, length: int) -> tuple[bytes, bytes]:
    """The first and last value that is let through."""
    bounds = (own.value,) * 2 if isinstance(own, ex.Compare) else (own.first, own.last)
    if own.op != rules.EQUAL or {*map(len, bounds)} != {length} or bounds[0] > bounds[1]:
        raise foreign_words(own)
    return bounds


def _span(
    version: Family, length: int, bits: ex.Bitwise | None, own: ex.Compare | ex.WithinRange
) -> Span:
    """The block that an address is compared with, of which so many bytes were loaded."""
    width, base = rules.WIDTH[version], IPV6 if version is Family.IPV6 else 0
    first, last = _bounds(own, length)
    low = int.from_bytes(first.ljust(width, b"\0"), "big")
    high = int.from_bytes(last.ljust(width, b"\xff"), "big")
    if bits is not None:
        mask = int.from_bytes(bits.mask, "big")
        others = (1 << width * 8) - 1 ^ mask
        if length != width or first != last or any(bits.xor) or others & others + 1 or low & others:
            raise foreign_words(bits)
        high = low | others
    elif length < width and first != last:
        raise foreign_words(own)
    if length > width:
        raise foreign_words(own)
    return base + low, base + high


def _of_flow_or_link(load: Load, bits: ex.Bitwise | None, own: ex.Compare) -> model.Match:
    equal = own.op == rules.EQUAL and bits is None
    match load:
        case ex.Track(rules.CT_STATE) if bits is not None and own.op == rules.UNEQUAL:
            number = _number(bits.mask)
            states = tuple(name for name in STATES if number & rules.STATE_BITS[name])
            known = sum(rules.STATE_BITS[name] for name in states) == number != 0
            if known and not any(bits.xor) and own.value == bytes(4):
                return model.ConnectionState(states)
        case ex.Track(rules.CT_DIRECTION) if equal and own.value == b"\x01":
            return model.ReplyDirection()
        case ex.Track(rules.CT_MARK) if own.op == rules.EQUAL:
            if bits is None or not any(bits.xor):
                mask = _ALL if bits is None else _number(bits.mask)
                return model.FlowMark(mask, _number(own.value))
        case ex.Meta(rules.OIFKIND) if equal and own.value.ljust(16, b"\0") == rules.BRIDGE:
            return model.OutOfBridge()
        case ex.Meta(rules.IIF) if equal and own.value == bytes(4):
            return model.NoInterface()
        case ex.Fib(_, rules.ADDRESS_TYPE, rules.SOURCE_ADDRESS) if equal:
            if _number(own.value) == rules.LOCAL:
                return model.LocalSource()
    raise foreign_words(own)


def _number(value: bytes) -> int:
    if len(value) != 4:
        raise RulesetError(f"not of netpolc's making: a number of {len(value)} bytes")
    return rules.number_here(value)
