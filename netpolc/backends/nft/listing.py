"""A ruleset as it was read back: expressions and numbers, in no terms of how it was compiled.

Comes in from `parse_json.py`. `tracer.py` and `proof.py` read it. Refused (`RulesetError`): values
that are not of their type, elements that overlap. Everything is a test of fields against elements;
an inline comparison is one with elements of its own, `tcp dport 80` two of them, as in the kernel.

Addresses are on the address line of `nets`, so that no field of one family meets a number of the
other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import cached_property
from itertools import pairwise

from netpolc.errors import RulesetError
from netpolc.nets import Family, Protocol, Span, family, parse_address


class Field(IntEnum):
    """What a test may look at; the value is the place in `tracer.Packet.values`."""

    SOURCE = 0
    DESTINATION = 1
    PROTOCOL = 2
    PORT = 3
    STATE = 4
    HOP_LIMIT = 5
    ICMPV6_TYPE = 6
    LOCAL_SOURCE = 7
    SOURCE_PORT = 8
    DIRECTION = 9
    JUDGED = 10


EXPRESSIONS: dict[str, tuple[Field, str]] = {
    "ip saddr": (Field.SOURCE, "ipv4_addr"),
    "ip daddr": (Field.DESTINATION, "ipv4_addr"),
    "ip6 saddr": (Field.SOURCE, "ipv6_addr"),
    "ip6 daddr": (Field.DESTINATION, "ipv6_addr"),
    "meta l4proto": (Field.PROTOCOL, "inet_proto"),
    "th dport": (Field.PORT, "inet_service"),
    "th sport": (Field.SOURCE_PORT, "inet_service"),
    "ct state": (Field.STATE, "ct_state"),
    "ct direction": (Field.DIRECTION, "ct_direction"),
    "ct mark": (Field.JUDGED, "judged"),
    "ip6 hoplimit": (Field.HOP_LIMIT, "hop_limit"),
    "icmpv6 type": (Field.ICMPV6_TYPE, "icmpv6_type"),
    "fib saddr type": (Field.LOCAL_SOURCE, "fib_addrtype"),
}
"""The expressions of the subset, each with its field and the type of its values."""
STATES = ("new", "invalid", "untracked", "established", "related")
_NAMES: dict[str, dict[str, int]] = {
    "inet_proto": {"ip": 0, "icmp": 1, "ipv6-icmp": 58}
    | {protocol.name.lower(): protocol for protocol in Protocol},
    "ct_state": {name: number for number, name in enumerate(STATES)},
    "ct_direction": {"original": 0, "reply": 1},
    "icmpv6_type": {
        "nd-router-solicit": 133,
        "nd-router-advert": 134,
        "nd-neighbor-solicit": 135,
        "nd-neighbor-advert": 136,
        "nd-redirect": 137,
    },
    "fib_addrtype": {"local": 1},
}
_LIMITS = {"inet_proto": 255, "inet_service": 65535, "hop_limit": 255, "icmpv6_type": 255}
ADDRESSES = {"ipv4_addr": Family.IPV4, "ipv6_addr": Family.IPV6}
NEVER = 1 << 200
"""Beyond every number on every line."""


def number(kind: str, word: object) -> int:
    """The value of a word (or number) of some type; `RulesetError` when it is none."""
    if kind in ADDRESSES and isinstance(word, str):
        try:
            address = parse_address(word)
        except ValueError as error:
            raise RulesetError(f"{word!r} is no {kind}: {error}") from error
        if family(address) is ADDRESSES[kind]:
            return address
    if isinstance(word, str) and word in _NAMES.get(kind, {}):
        return _NAMES[kind][word]
    if isinstance(word, int) and not isinstance(word, bool) and 0 <= word <= _LIMITS.get(kind, -1):
        return word
    raise RulesetError(f"{word!r} is no {kind}")


class Action(Enum):
    """What a verdict does."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    JUMP = "jump"
    GOTO = "goto"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An action; jump and goto name a chain."""

    action: Action
    chain: str = ""


Box = tuple[Span, ...]
"""One span for each field of an element."""


class Elements:
    """Boxes of numbers, with a verdict each if they are a map.

    `kinds` are the types of the fields; `counted` ones count what is found in them. A lookup splits
    a box in its main span (the port where there is one, else the first field) and the rest: equal
    rests share one sorted list.
    """

    def __init__(
        self,
        name: str,
        kinds: tuple[str, ...],
        entries: Iterable[tuple[Box, Verdict | None]],
        counted: bool = False,
    ) -> None:
        self.name, self.kinds, self.entries = name, kinds, tuple(entries)
        self.counted = counted
        self._main = kinds.index("inet_service") if "inet_service" in kinds else 0
        groups: dict[Box, list[tuple[Span, Verdict | None]]] = {}
        for box, verdict in self.entries:
            rest = box[: self._main] + box[self._main + 1 :]
            groups.setdefault(rest, []).append((box[self._main], verdict))
        self._groups = {rest: _Line(name, spans) for rest, spans in groups.items()}
        self._wide = [
            (rest, line)
            for rest, line in self._groups.items()
            if any(first != last for first, last in rest)
        ]
        if self._wide and any(verdict is not None for _, verdict in self.entries):
            raise RulesetError(f"map {name}: only ports may be ranges")

    @cached_property
    def content(self) -> frozenset[tuple[Box, Verdict | None]]:
        """The elements, in no order."""
        return frozenset(self.entries)

    def none(self) -> Elements:
        """The same set or map, empty."""
        return Elements(self.name, self.kinds, ())

    def find(self, values: tuple[int | None, ...]) -> tuple[bool, Verdict | None, int]:
        """Whether some values are in, the verdict there, and how far the main one could grow
        without another answer.
        """
        main = values[self._main]
        if main is None or None in values:
            return False, None, NEVER
        rest = [value for at, value in enumerate(values) if at != self._main and value is not None]
        lines = [line for box, line in self._wide if _inside(rest, box)]
        exact = self._groups.get(tuple((value, value) for value in rest))
        if exact is not None:
            lines.append(exact)
        until = NEVER
        for line in lines:
            found, verdict, end = line.find(main)
            until = min(until, end)
            if found:
                return True, verdict, until
        return False, None, until


def _inside(values: Iterable[int], box: Box) -> bool:
    return all(first <= value <= last for value, (first, last) in zip(values, box, strict=True))


class _Line:
    """Disjoint spans in order."""

    def __init__(self, name: str, spans: list[tuple[Span, Verdict | None]]) -> None:
        spans.sort(key=lambda entry: entry[0])
        for (before, _), (after, _) in pairwise(spans):
            if before[1] >= after[0]:
                raise RulesetError(f"{name}: elements overlap")
        self._firsts = [first for (first, _), _ in spans]
        self._lasts = [last for (_, last), _ in spans]
        self._verdicts = [verdict for _, verdict in spans]

    def find(self, value: int) -> tuple[bool, Verdict | None, int]:
        at = bisect_right(self._firsts, value) - 1
        if at >= 0 and value <= self._lasts[at]:
            return True, self._verdicts[at], self._lasts[at]
        following = at + 1
        end = self._firsts[following] - 1 if following < len(self._firsts) else NEVER
        return False, None, end


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """Fields looked up in elements."""

    fields: tuple[Field, ...]
    elements: Elements


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """All tests must hold; then a lookup in a verdict map, a verdict, or nothing.

    What changes no verdict (counters, logs with their limits) is checked when read, and left out,
    but for `audits`: that it counts in a counter of what would be denied; `remembers` says that it
    marks the packet's flow as judged.
    """

    tests: tuple[Test, ...]
    outcome: Test | Verdict | None
    comment: str
    audits: bool = False
    remembers: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """Where the base chain sits, and what becomes of packets that reach its end."""

    chain: str
    hook: str
    priority: int
    policy: Action


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A table: its base chain, chains with their rules, and every set and map.

    `rechecks` says that flows carry whether this table judged them (`--established recheck`).
    """

    table: str
    base: Base
    chains: dict[str, tuple[Rule, ...]]
    elements: tuple[Elements, ...]
    rechecks: bool = False

    def without(self, field: Field) -> Listing:
        """The same table, but no packet is sent to the chain of a pod by that field alone.

        Without the destination packets meet the egress of their source only, without the source
        the ingress of their destination. Maps inside the chains of pods, which only maps lead to,
        stay as they are: they look up peers.
        """
        sending = self._reached_by_rules()
        chains = {
            name: tuple(
                replace(rule, outcome=replace(rule.outcome, elements=rule.outcome.elements.none()))
                if isinstance(rule.outcome, Test) and rule.outcome.fields == (field,)
                else rule
                for rule in rules
            )
            if name in sending
            else rules
            for name, rules in self.chains.items()
        }
        return replace(self, chains=chains)

    def _reached_by_rules(self) -> set[str]:
        """The chains that a packet of no pod can come to: no map leads there."""
        found: set[str] = set()
        waiting = [self.base.chain]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                outcomes = (rule.outcome for rule in self.chains[name])
                waiting += [o.chain for o in outcomes if isinstance(o, Verdict) and o.chain]
        return found

    def content(self) -> object:
        """All that decides about packets, as values: equal contents judge alike."""
        base = (self.table, self.base.chain, self.base.hook, self.base.priority, self.base.policy)
        chains = {
            name: [
                ([_asked(own) for own in rule.tests], _ending(rule), rule.audits, rule.remembers)
                for rule in rules
            ]
            for name, rules in self.chains.items()
        }
        return base, chains

    def tests(self) -> Iterable[Test]:
        """Every test of every rule, lookups in maps included."""
        for rules in self.chains.values():
            for rule in rules:
                yield from rule.tests
                if isinstance(rule.outcome, Test):
                    yield rule.outcome


def _asked(test: Test) -> object:
    """A test as a value; what counts also has the name that its counts are read by."""
    elements = test.elements
    return test.fields, elements.content, elements.name if elements.counted else ""


def _ending(rule: Rule) -> object:
    return _asked(rule.outcome) if isinstance(rule.outcome, Test) else rule.outcome
