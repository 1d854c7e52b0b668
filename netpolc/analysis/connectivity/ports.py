"""Sets of ports as people write them: `TCP 80,8000-8100,UDP 53`, `all`, `none`."""

from __future__ import annotations

from netpolc.core.nets import EVERY_PORT, Protocol, Ranges, Span, format_ports, ports

NAMED = Ranges.of(ports(protocol) for protocol in Protocol)
"""What a policy can name; every other protocol is admitted as a whole or not at all."""


def describe_ports(found: Ranges) -> str:
    """A set of the port line, as text.

    `all` has every protocol, ICMP included; a protocol alone is all of its ports. What is denied is
    named where that is shorter: `all except TCP 25`.
    """
    if not found:
        return "none"
    if found == EVERY_PORT:
        return "all"
    if found - NAMED:
        return f"all except {_listed(EVERY_PORT - found)}"
    return _listed(found)


def _listed(found: Ranges) -> str:
    texts: list[str] = []
    before = ""
    for span in spans(found):
        protocol, _, numbers = format_ports(span).partition(" ")
        texts.append(numbers if protocol == before else format_ports(span))
        before = protocol
    return ",".join(texts)


def spans(found: Ranges) -> list[Span]:
    """Those a policy can name, cut where a protocol ends: spans of two may be merged into one."""
    return [span for protocol in Protocol for span in found & Ranges((ports(protocol),))]
