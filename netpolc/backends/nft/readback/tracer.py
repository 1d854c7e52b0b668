"""Walks packets through a ruleset as the kernel does, without a kernel.

Comes in: a `Listing` and a `Packet`. Goes out: a `Trace`. It knows nothing of how rulesets are
compiled: rules in order, `jump` and what comes after it, `goto`, verdict maps, base chains and
their policies (nft(8), "Verdict statements"; `nft_do_chain` in net/netfilter/nf_tables_core.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from netpolc.backends.nft.readback.fields import NEVER, STATES, Field
from netpolc.backends.nft.readback.fields import number as number_of
from netpolc.backends.nft.readback.listing import Action, Listing, Rule, Test, Verdict
from netpolc.core.nets import Protocol

Values = tuple[int | None, ...]
ICMPV6 = 58
ECHO_REQUEST = 128
ROUTED_HOP_LIMIT = 64


@dataclass(frozen=True, slots=True)
class Link:
    """Where a packet came in and leaves, as hooks see it.

    `bridge` is whether it leaves by a bridge; the names are those of interfaces as numbers
    (`listing.number`), 0 for none: in postrouting frames of a bridge came in by none.
    """

    bridge: bool
    iifname: int
    oifname: int

    def __str__(self) -> str:
        came, left = (
            name.to_bytes(15, "big").strip(b"\0").decode() or "none"
            for name in (self.iifname, self.oifname)
        )
        return f"{came} to {'bridge ' if self.bridge else ''}{left}"


_OTHER = number_of("ifname", "eth0")
ROUTED = Link(False, _OTHER, _OTHER)


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet as the tests of a ruleset see it, by `Field`; None where it has no such field."""

    values: Values


def packet(
    source: int,
    destination: int,
    protocol: int,
    port: int | None = None,
    *,
    source_port: int | None = None,
    state: int = STATES.index("new"),
    direction: int | None = 0,
    judged: bool = False,
    hop_limit: int | None = None,
    icmpv6_type: int | None = None,
    local: bool = False,
    link: Link = ROUTED,
    acknowledges: bool = False,
) -> Packet:
    """A packet between two addresses of the address line; unless told, the first of a routed flow.

    `state` is a place in `STATES`, `direction` 1 for a reply (None: not tracked), `judged` whether
    its flow is marked as judged, `local` whether the node itself sent it, `acknowledges` whether a
    TCP segment has ACK.
    """
    v6 = source >> 128 != 0
    if v6 and hop_limit is None:
        hop_limit = ROUTED_HOP_LIMIT
    if protocol == ICMPV6 and icmpv6_type is None:
        icmpv6_type = ECHO_REQUEST
    values = source, destination, protocol, port, state, hop_limit, icmpv6_type, int(local)
    links = int(link.bridge), link.iifname, link.oifname, int(link.iifname != 0)
    ack = int(acknowledges) if protocol == Protocol.TCP else None
    return Packet((*values, source_port, direction, int(judged), *links, ack))


@dataclass(frozen=True, slots=True)
class Trace:
    """What became of a packet, and the rule that decided (of a base chain's policy: none).

    With every port up to `until` (of a reply: its source port) the packet would have met the same
    answers. `asked` has a bit for each `Field` that was looked at: the others could have been
    anything. `states` are the sets of connection states it was compared with, a bit for each of
    `STATES`. `audits` is how often it was counted as one that would be denied, `counted` the sets
    that counted it. `remembered` says that its flow was marked as judged, `lost` that it was
    counted as one of no connection.
    """

    passed: bool
    chain: str
    number: int
    rule: Rule | None
    until: int
    asked: int
    states: frozenset[int]
    audits: int
    counted: frozenset[str]
    remembered: bool
    lost: bool

    def __str__(self) -> str:
        if self.rule is None:
            return f"the policy of chain {self.chain}"
        return f'chain {self.chain}, rule {self.number}: "{self.rule.comment}"'


class Tracer:
    """Traces packets through one ruleset."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._gates = listing.gates()

    def passed_by(self, sent: Packet) -> tuple[bool, int]:
        """Whether no chain that asks for the link does anything to a packet, so that all is as if
        it were routed; and a bit for each `Field` that they asked for.
        """
        if self._gates is None:
            return False, -1
        walk = _Walk(self._listing, sent.values)
        ended = [walk.chain(name) for name in self._gates]
        done = any(ended) or walk.audits or walk.counted or walk.remembered or walk.lost
        return not done, walk.asked

    def trace(self, sent: Packet) -> Trace:
        """Walk one packet from base chain to base chain, to its verdict."""
        walk = _Walk(self._listing, sent.values)
        passed, chain, number = True, "", -1
        for base in self._listing.bases:
            ended = walk.chain(base.chain)
            action, chain, number = ended or (base.policy, base.chain, -1)
            passed = action is Action.ACCEPT
            if not passed:
                break
        rule = self._listing.chains[chain][number] if number >= 0 else None
        return Trace(
            passed,
            chain,
            number + 1,
            rule,
            walk.until,
            walk.asked,
            frozenset(walk.states),
            walk.audits,
            frozenset(walk.counted),
            walk.remembered,
            walk.lost,
        )


class _Walk:
    """One packet on its way."""

    def __init__(self, listing: Listing, values: Values) -> None:
        self._chains, self._values = listing.chains, values
        self.until = NEVER
        self.asked = 0
        self.states: set[int] = set()
        self.audits = 0
        self.counted: set[str] = set()
        self.remembered = self.lost = False

    def chain(self, name: str) -> tuple[Action, str, int] | None:
        """The final action and the rule it is in; None when the end of the chain is reached."""
        for number, rule in enumerate(self._chains[name]):
            verdict = self._verdict(rule)
            if verdict is None:
                continue
            if verdict.action is Action.RETURN:
                return None
            if verdict.action is Action.GOTO:  # its end is the end of this chain, too
                return self.chain(verdict.chain)
            if verdict.action is not Action.JUMP:
                return verdict.action, name, number
            ended = self.chain(verdict.chain)
            if ended is not None:
                return ended
        return None

    def _verdict(self, rule: Rule) -> Verdict | None:
        for test in rule.tests:
            if not self._find(test)[0]:
                return None
        self.audits += rule.audits
        self.remembered |= rule.remembers
        self.lost |= rule.loses
        if isinstance(rule.outcome, Test):
            return self._find(rule.outcome)[1]
        return rule.outcome

    def _find(self, test: Test) -> tuple[bool, Verdict | None]:
        values = self._values
        for field in test.fields:
            self.asked |= 1 << field
        if Field.STATE in test.fields:
            self.states.add(test.elements.bits)
        found, verdict, until = test.elements.find(tuple(values[field] for field in test.fields))
        if until < self.until and (Field.PORT in test.fields or Field.SOURCE_PORT in test.fields):
            self.until = until
        if found and test.elements.counted:
            self.counted.add(test.elements.name)
        return found, verdict
