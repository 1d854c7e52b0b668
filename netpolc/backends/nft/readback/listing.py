"""A ruleset as it was read back: expressions and numbers, in no terms of how it was compiled.

Comes in from `parse_json.py`. `tracer.py` and `proof/` read it. Refused (`RulesetError`): values
that are not of their type, elements that overlap. Everything is a test of fields against elements;
an inline comparison is one with elements of its own, `tcp dport 80` two of them, as in the kernel.
`fields.py` says which fields there are.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from itertools import pairwise

from netpolc.backends.nft.names import INGRESS_BASE
from netpolc.backends.nft.readback.fields import LINK_FIELDS, NEVER, Field
from netpolc.core.errors import RulesetError
from netpolc.core.nets import Span


class Action(Enum):
    """What a verdict does."""

    ACCEPT = "accept"
    DROP = "drop"
    REJECT = "reject"
    JUMP = "jump"
    GOTO = "goto"
    RETURN = "return"


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
        if len(kinds) == 1 and self.entries:  # most sets, and the largest
            groups[()] = [(span, verdict) for (span,), verdict in self.entries]
        else:
            for box, verdict in self.entries:
                rest = box[: self._main] + box[self._main + 1 :]
                groups.setdefault(rest, []).append((box[self._main], verdict))
        self._groups = {rest: _Line(name, spans) for rest, spans in groups.items()}
        self._wide = [
            (rest, line)
            for rest, line in self._groups.items()
            if any(first != last for first, last in rest)
        ]
        several = len(self._groups) > 1
        if self._wide and several and any(verdict is not None for _, verdict in self.entries):
            raise RulesetError(f"map {name}: only its main field may have several ranges")

    @cached_property
    def content(self) -> frozenset[tuple[Box, Verdict | None]]:
        """The elements, in no order."""
        return frozenset(self.entries)

    @cached_property
    def bits(self) -> int:
        """A bit for each number that is in, of small ones."""
        spans = [box[0] for box, _ in self.entries]
        return sum(1 << at for first, last in spans for at in range(first, last + 1))

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
    marks the packet's flow as judged, `loses` that it counts what is of no connection.
    """

    tests: tuple[Test, ...]
    outcome: Test | Verdict | None
    comment: str
    audits: bool = False
    remembers: bool = False
    loses: bool = False

    def content(self) -> object:
        """All that decides about packets, as a value."""
        tests = [_asked(own) for own in self.tests]
        outcome = self.outcome
        ending = _asked(outcome) if isinstance(outcome, Test) else outcome
        return tests, ending, self.audits, self.remembers, self.loses

    def targets(self) -> Iterator[str]:
        """The chains that it leads to."""
        outcome = self.outcome
        if isinstance(outcome, Test):
            yield from {own.chain: None for _, own in outcome.elements.entries if own and own.chain}
        elif outcome is not None and outcome.chain:
            yield outcome.chain


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """Where a base chain sits, and what becomes of packets that reach its end."""

    chain: str
    hook: str
    priority: int
    policy: Action


def in_order(bases: Iterable[Base]) -> tuple[Base, ...]:
    """Base chains as packets come to them: that of everything or of egress, then that of ingress.

    `RulesetError` for any others.
    """
    found = sorted(bases, key=lambda base: base.priority)
    second = [base for base in found if base.chain == INGRESS_BASE]
    if len(found) - len(second) != 1 or found[1:] != second:
        raise RulesetError(
            f"{len(found)} base chains; netpolc emits one, or {INGRESS_BASE} after it"
        )
    if second and (second[0].hook, second[0].priority) != (found[0].hook, found[0].priority + 1):
        raise RulesetError("the base chain of ingress does not come next after that of egress")
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A table: its base chains, chains with their rules, and every set and map.

    What one base chain accepts comes to the next of `bases` (nft(8), "accept"); all are of one
    hook. `rechecks` says that flows carry whether this table judged them (`--established recheck`).
    """

    table: str
    bases: tuple[Base, ...]
    chains: dict[str, tuple[Rule, ...]]
    elements: tuple[Elements, ...]
    rechecks: bool = False

    @property
    def hook(self) -> str:
        """Where its base chains are."""
        return self.bases[0].hook

    def without(self, field: Field, unknown: Iterable[str] = ()) -> Listing:
        """The same table, but no packet is sent to the chain of a pod by that field alone, and the
        chains `unknown`, which judge pods by other addresses, are empty.

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
        return replace(self, chains=chains | {name: () for name in unknown if name in chains})

    def gates(self) -> frozenset[str] | None:
        """The chains behind rules that jump for what leaves by a bridge; None where anything else
        asks for the link of a packet.
        """
        gates: set[str] = set()
        outside: dict[str, list[Rule]] = {}
        for name, rules in self.chains.items():
            for rule in rules:
                leads = isinstance(rule.outcome, Verdict) and rule.outcome.action is Action.JUMP
                if leads and any(Field.OUT_KIND in test.fields for test in rule.tests):
                    gates.update(rule.targets())
                else:
                    outside.setdefault(name, []).append(rule)
        inside: set[str] = set()
        waiting = list(gates)
        while waiting:
            name = waiting.pop()
            if name not in inside and name in outside:
                inside.add(name)
                waiting += [own for rule in outside[name] for own in rule.targets()]
        asking = {name for name in inside if any(map(_asks_link, self.chains[name]))}
        for name, others in outside.items():
            if name not in asking and any(
                _asks_link(rule) or not asking.isdisjoint({*rule.targets()} - gates)
                for rule in others
                if name not in inside
            ):
                return None
        return frozenset(gates)

    def _reached_by_rules(self) -> set[str]:
        """The chains that a packet of no pod can come to: no map leads there."""
        found: set[str] = set()
        waiting = [base.chain for base in self.bases]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                outcomes = (rule.outcome for rule in self.chains[name])
                waiting += [o.chain for o in outcomes if isinstance(o, Verdict) and o.chain]
        return found

    def content(self) -> object:
        """All that decides about packets, as values: equal contents judge alike."""
        bases = [(base.chain, base.hook, base.priority, base.policy) for base in self.bases]
        chains = {name: [rule.content() for rule in own] for name, own in self.chains.items()}
        return self.table, bases, chains

    def tests(self) -> Iterable[Test]:
        """Every test of every rule, lookups in maps included."""
        for rules in self.chains.values():
            for rule in rules:
                yield from rule.tests
                if isinstance(rule.outcome, Test):
                    yield rule.outcome


def _asks_link(rule: Rule) -> bool:
    tests = (*rule.tests, *([rule.outcome] if isinstance(rule.outcome, Test) else ()))
    return any(not LINK_FIELDS.isdisjoint(test.fields) for test in tests)


def _asked(test: Test) -> object:
    """A test as a value; what counts also has the name that its counts are read by."""
    elements = test.elements
    return test.fields, elements.content, elements.name if elements.counted else ""


def check_jumps(table: Listing) -> None:
    """`RulesetError` unless every chain that is named is there, and none comes back to itself (nor
    does the kernel load that).
    """
    targets: dict[str, set[str]] = {}
    for name, rules in table.chains.items():
        found = targets.setdefault(name, set())
        for rule in rules:
            found.update(rule.targets())
    done: set[str] = set()
    for name in targets:
        _descend(name, targets, (), done)


def _descend(
    name: str, targets: dict[str, set[str]], above: tuple[str, ...], done: set[str]
) -> None:
    if name not in targets:
        raise RulesetError(f"chain {name} is not there")
    if name in above:
        raise RulesetError(f"chain {name} comes back to itself")
    if name not in done:
        for target in targets[name]:
            _descend(target, targets, (*above, name), done)
        done.add(name)
