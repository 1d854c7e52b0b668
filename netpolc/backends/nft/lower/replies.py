"""The mirror of judging chains: what judges a reply as the flow it answers.

Comes in: chains and maps that judge packets of the original direction. Goes out: their twins,
which find the flow's source in `daddr`, its destination in `saddr` and its port in `sport`. In the
forward hook, and in postrouting before source NAT, a reply has exactly the flow's addresses the
other way round, whatever was translated on the way.

Named sets and counters are shared, so the twin costs rules and maps, not elements.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from msgspec import structs

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.names import reply_prefix, twin

_SWAPPED: dict[nft.Field, nft.Field] = {"saddr": "daddr", "daddr": "saddr"}


class Mirror:
    """Mirrors chains and maps; verdicts that lead to a chain in `kept` stay as they are."""

    def __init__(self, kept: Iterable[str]) -> None:
        self._kept = frozenset(kept)

    def chain(self, chain: nft.Chain) -> nft.Chain:
        """The twin of a chain."""
        return nft.Chain(twin(chain.name), tuple(self._rule(rule) for rule in chain.rules))

    def map(self, entry: nft.NamedMap) -> nft.NamedMap:
        """The twin of a map: the same keys, verdicts that lead to twins."""
        match entry:
            case nft.AddressMap(name, version, addresses):
                twins = tuple((key, self._verdict(verdict)) for key, verdict in addresses)
                return nft.AddressMap(twin(name), version, twins)
            case nft.NetworkMap(name, version, blocks):
                parts = tuple((span, self._verdict(verdict)) for span, verdict in blocks)
                return nft.NetworkMap(twin(name), version, parts)
            case nft.PortMap(name, interval, ports):
                spans = tuple((span, self._verdict(verdict)) for span, verdict in ports)
                return nft.PortMap(twin(name), interval, spans)
            case _:
                assert_never(entry)

    def _rule(self, rule: nft.Rule) -> nft.Rule:
        matches = tuple(map(_match, rule.matches))
        return nft.Rule(matches, tuple(map(self._statement, rule.statements)), rule.comment)

    def _statement(self, statement: nft.Statement) -> nft.Statement:
        match statement:
            case nft.AddressLookup(field, version, name):
                return nft.AddressLookup(_SWAPPED[field], version, twin(name))
            case nft.NetworkLookup(field, version, name):
                return nft.NetworkLookup(_SWAPPED[field], version, twin(name))
            case nft.PortLookup(name, interval):
                return nft.PortLookup(twin(name), interval, "sport")
            case nft.Verdict():
                return self._verdict(statement)
            case nft.Log(prefix):
                return structs.replace(statement, prefix=reply_prefix(prefix))
            case nft.Count() | nft.MarkFlow() | nft.Reject():
                return statement
            case _:
                assert_never(statement)

    def _verdict(self, verdict: nft.Verdict) -> nft.Verdict:
        leads_on = verdict.chain and verdict.chain not in self._kept
        return structs.replace(verdict, chain=twin(verdict.chain)) if leads_on else verdict


def _match(match: nft.Match) -> nft.Match:
    match match:
        case nft.PortMatch():
            return structs.replace(match, field="sport")
        case nft.SpanMatch() | nft.SetMatch():
            return structs.replace(match, field=_SWAPPED[match.field])
        case nft.PairMatch():  # its sets hold every pair in both orders
            return match
        case nft.ConnectionState() | nft.ReplyDirection() | nft.FlowMark():
            return match
        case nft.LocalSource() | nft.OnLink() | nft.NeighbourDiscovery() | nft.Acknowledges():
            return match
        case nft.OutOfBridge() | nft.NamedLink() | nft.NoInterface():
            return match  # asked of both ends, or of frames that stay on one bridge
        case _:
            assert_never(match)
