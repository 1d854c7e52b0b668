"""What the table has counted, for whoever collects metrics.

Comes in: the name of a table. Goes out: the text form of Prometheus; empty where it is not loaded.
"""

from __future__ import annotations

from netpolc.backends.nft.names import PENDING
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.state.facts import Facts, PodCounts
from netpolc.backends.nft.signals.counters import attribute_counters, prometheus

_PENDING = "netpolc_pending_dropped_packets_total"


def table_counters(table: str) -> str:
    """The counters of the table as they are now; `SystemRefusal` where the kernel does not say."""
    channel = Channel()
    facts, counts = Facts(channel), PodCounts(channel)
    loaded, addresses = channel.generation.consistent(
        lambda: (facts.loaded(table), counts.addresses(table)), table
    )
    if loaded is None:
        return ""
    drops = loaded.drops
    found = attribute_counters(table, drops, addresses, None, loaded.odd, loaded.invalid)
    waiting = sum(own.packets for own in drops if own.chain in PENDING.values())
    return (
        prometheus(table, found)
        + f"# HELP {_PENDING} Packets of addresses that no pod was known to have.\n"
        + f"# TYPE {_PENDING} counter\n{_PENDING} {waiting}\n"
    )
