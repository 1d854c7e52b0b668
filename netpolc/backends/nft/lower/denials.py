"""The end of every judging chain: what becomes of packets that no rule admits, and how they count.

Comes in: a chain's name and the options. Goes out: its last rules. Nothing is refused.
"""

from __future__ import annotations

from netpolc.backends.nft import model as nft
from netpolc.backends.nft.names import END, INVALID, counter_name, log_prefix
from netpolc.backends.nft.options import Options
from netpolc.core.ir import Direction
from netpolc.core.nets import PORTS, Protocol


def tail(
    options: Options,
    direction: Direction,
    chain: str,
    policies: str,
    audited: bool,
    admitted: nft.Verdict,
    *,
    end: str = "",
    told: str = "",
) -> tuple[nft.Rule, ...]:
    """The end of a judging chain: exemptions, log, and the counted denial (or, if audited,
    what admission does).

    `end` is the chain of the exemptions, `told` what the log says beside the chain. What is invalid
    is no denial, and never logged or answered. Answered is only what would have begun a connection:
    a reset for another segment would end one that is allowed.
    """
    jump = nft.Verdict(nft.Action.JUMP, end or END[direction])
    invalid = nft.Count(INVALID), admitted if audited else nft.DROP
    rules = [
        nft.Rule((), (jump,), "exemptions, then the counter of the pod"),
        nft.Rule((nft.ConnectionState((INVALID,)),), invalid, "of no connection"),
    ]
    rate = options.audit_rate if audited else options.log
    if rate is not None:
        prefix = log_prefix(direction, chain, audited, told)
        rules.append(nft.Rule((), (nft.Log(prefix, rate),), policies))
    count = nft.Count(counter_name(chain, audited))
    if audited:
        rules.append(nft.Rule((), (count, admitted), policies))
    elif options.deny == "drop":
        rules.append(nft.Rule((), (count, nft.DROP), policies))
    else:
        new = nft.ConnectionState(("new",))
        tcp = nft.PortMatch(Protocol.TCP, 0, PORTS - 1)
        drop = count, nft.DROP
        rules += [
            nft.Rule((nft.Acknowledges(),), drop, policies),
            nft.Rule((new, tcp), (count, nft.Reject(tcp_reset=True)), policies),
            nft.Rule((new,), (count, nft.Reject(tcp_reset=False)), policies),
            nft.Rule((), drop, policies),
        ]
    return tuple(rules)
