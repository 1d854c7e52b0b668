"""Reads the counters of the loaded table and writes them: for people, as JSON, for Prometheus."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.state.facts import Facts, PodCounts
from netpolc.cli.terminal import Justify, aligned
from netpolc.core.foreign import to_json

if TYPE_CHECKING:
    from netpolc.backends.nft.signals.counters import Counters
    from netpolc.compiler import Program

WORDS = {False: "denied", True: "let pass"}
"""What became of the packets that a counter counted, by whether it audits."""


def read_counters(channel: Channel, table: str, program: Program | None) -> Counters | None:
    """The counters of a table; None when it is not loaded."""
    from netpolc.backends.nft.signals.counters import attribute_counters  # few ask for them

    facts, counts = Facts(channel), PodCounts(channel)
    loaded, addresses = channel.generation.consistent(
        lambda: (facts.loaded(table), counts.addresses(table)), table
    )
    if loaded is None:
        return None
    return attribute_counters(table, loaded.drops, addresses, program, loaded.odd, loaded.invalid)


def _text(table: str, found: Counters | None) -> str:
    if found is None:
        return f"table inet {table} is not loaded\n"
    if not found.chains:
        return "no pod of this node is isolated\n"
    head = ["chain", "direction", "packets", "bytes", "result", "isolated by", "pods"]
    rows = [
        [
            own.chain,
            own.direction,
            str(own.packets),
            str(own.bytes),
            WORDS[own.audited],
            ", ".join(own.policies),
            ", ".join(own.pods),
        ]
        for own in found.chains
    ]
    sides: list[Justify] = ["left", "left", "right", "right", "left", "left", "left"]
    invalid = f"invalid, of no connection: {found.invalid} packets dropped"
    return "\n".join((*aligned([head, *rows], sides), "", *_pods(found), "", invalid, ""))


def _pods(found: Counters) -> Iterator[str]:
    head = ["pod", "direction", "packets", "bytes", "result", "isolated by"]
    rows = [
        [
            own.pod,
            own.direction,
            str(own.packets),
            str(own.bytes),
            WORDS[own.audited],
            ", ".join(own.policies),
        ]
        for own in found.pods
    ]
    return aligned([head, *rows], ["left", "left", "right", "right", "left", "left"])


def _json(table: str, found: Counters | None) -> str:
    entries = dataclasses.asdict(found) if found is not None else {"table": table}
    return to_json({"loaded": found is not None, **entries}, indent=2) + "\n"


def _prometheus(table: str, found: Counters | None) -> str:
    from netpolc.backends.nft.signals.counters import prometheus

    return prometheus(table, found)


FORMS: dict[str, Callable[[str, Counters | None], str]] = {
    "text": _text,
    "json": _json,
    "prometheus": _prometheus,
}
