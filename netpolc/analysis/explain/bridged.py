"""What becomes of a flow with a link-local address, should a bridge carry it between two pods.

Comes in: a Program and a flow. Goes out: a sentence where the kernel then denies what the policies
alone allow. Every pod has such addresses and no snapshot has them, so the policies see nobody
there; the ruleset judges a pod that could be any of its node (`backends/nft/lower/bridges.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.core.ir import Direction
from netpolc.core.nets import IPV6, LINK_LOCAL, format_address
from netpolc.core.program import Program
from netpolc.core.semantics import Decision, Flow, decide_unknown, evaluate

_LINK_LOCAL = (LINK_LOCAL, (0xA9FE0000, 0xA9FEFFFF))
"""fe80::/10, and 169.254.0.0/16 (RFC 3927)."""
_ICMPV6 = 58


def on_a_bridge(program: Program, flow: Flow) -> str | None:
    """What to say of a flow; None where there is nothing."""
    ends = {Direction.EGRESS: flow.source, Direction.INGRESS: flow.destination}
    pods = {own: program.pods_by_address.get(address) for own, address in ends.items()}
    unknown = [own for own in ends if pods[own] is None and _is_link_local(ends[own])]
    known = [pod for pod in pods.values() if pod is not None]
    if not unknown or len(unknown) + len(known) < len(ends):
        return None  # a host beyond is on no bridge of pods
    if any(ends[own] in program.cluster.node_addresses(pod) for own in unknown for pod in known):
        return None
    verdict = evaluate(program, flow)
    if not verdict.allowed:
        return None
    denied = [
        (node, decision.direction)
        for node in _nodes(program, known[0].node if known else "")
        for decision in _decisions(program, node, unknown, flow)
        if not decision.allowed
    ]
    if not denied:
        return None
    addresses = " and ".join(format_address(ends[own]) for own in unknown)
    nodes = ", ".join(sorted({node for node, _ in denied if node})) or "its node"
    directions = " and ".join(sorted({str(own) for _, own in denied}, reverse=True))
    are, have = ("is", "it") if len(unknown) == 1 else ("are", "them")
    bridge = "bridge" if flow.source >= IPV6 else "bridge (one of --pod-bridges)"
    but = ", but for neighbour discovery" if flow.protocol == _ICMPV6 else ""
    return (
        f"{addresses} {are} link-local: where pods have {have} and a {bridge} of {nodes} "
        f"carries this, the kernel denies it{but} ({directions}: not every isolated pod "
        "there admits anybody)"
    )


def _is_link_local(address: int) -> bool:
    return any(first <= address <= last for first, last in _LINK_LOCAL)


def _nodes(program: Program, node: str) -> list[str]:
    """The nodes on whose bridges it may be: that of the pod at one end, or every one."""
    return [node] if node else sorted({pod.node for pod in program.cluster.pods if pod.node})


def _decisions(
    program: Program, node: str, unknown: list[Direction], flow: Flow
) -> Iterator[Decision]:
    local = [pod for pod in program.pods_by_address.values() if pod.is_on(node)]
    for direction in unknown:
        yield decide_unknown(program, direction, local, flow)
