"""Every name that a table of netpolc's holds: chains, sets, maps, counters, lines of the log.

Comes in: directions, families, content. Goes out: names that `lower` gives, and that
`readback`, `rollout` and `signals` look for. Nothing is refused.

| name | what it is |
|---|---|
| `i_DIGEST`, `e_DIGEST` | the chain that judges ingress or egress by some policies |
| `p_DIGEST`, `v_DIGEST` | a part of such a chain for some ports, and the map that leads there |
| `s4_DIGEST`, `c4_DIGEST` | the addresses of pods that policies select; blocks of addresses |
| `i_admin_DIGEST`, `e_baseline_DIGEST` | the chain that asks the policies of one ordered tier |
| `m4_DIGEST`, `n4_DIGEST` | from the peers of such a chain, pods and blocks, to what they meet |
| `k_DIGEST` | the rules of such a chain that some of its peers meet |
| `i_rule_DIGEST`, `e_rule_DIGEST` | the chain that denies by one rule of an ordered tier |
| `in4`, `eg4` | from local addresses to the chains that judge them |
| `deny_in4`, `deny_eg4` | counts what is denied, or if audited would be, by local address |
| `self4` | pairs of addresses of one pod |
| `known4` | the addresses of local pods and of the node, where others of its blocks are denied |
| `drop_CHAIN`, `audit_CHAIN` | the counter of what a chain denies, or if audited would deny |
| `reply_NAME` | the twin of a chain or map, for replies |
| `meta_NAME` | says something of the table, and judges nothing |
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from netpolc.core.foreign import ruleset_word
from netpolc.core.ir import Direction, Origin
from netpolc.core.nets import Family

INGRESS = "ingress"
"""The chain that judges ingress, after egress has admitted."""
INGRESS_BASE = "then_ingress"
"""The base chain that leads there, where egress and ingress have one each."""
EXEMPT = "exempt"
"""The chain of what is never judged."""
REMEMBER = "remember"
"""The chain that marks an admitted flow as judged."""
REPLY = "reply"
"""The chain that judges replies as the flow they answer."""
END = {Direction.INGRESS: "end_ingress", Direction.EGRESS: "end_egress"}
"""The chain that every judging chain of a direction jumps to before it denies."""
RULE_END = {Direction.INGRESS: "end_in_rule", Direction.EGRESS: "end_eg_rule"}
"""The same of the chains that deny by a rule of an ordered tier: a pod is no exemption there."""
UNKNOWN = {Direction.INGRESS: "i_unknown", Direction.EGRESS: "e_unknown"}
"""The chain that judges, in a direction, pods of a bridge by addresses that no pod has."""
UNKNOWN_DENIED = {own: f"{name}_denied" for own, name in UNKNOWN.items()}
"""The end of such a chain where more is admitted than denied."""
PENDING = {Direction.INGRESS: "i_pending", Direction.EGRESS: "e_pending"}
"""The chain that denies, in a direction, addresses of the node's pods that no pod has yet."""
BRIDGED = {Direction.EGRESS: "bridged_from", Direction.INGRESS: "bridged_to"}
"""The chains of what leaves by a bridge, for each direction that is judged."""
BRIDGE_PORT = {Direction.EGRESS: "port_from", Direction.INGRESS: "port_to"}
"""The chains of what leaves by a port of a bridge."""
TIERS = tuple(f"{own}_{tier}_" for own in "ie" for tier in ("admin", "baseline"))
"""How the names of chains begin that ask an ordered tier."""
POD_BRIDGES = "pod_bridges"
"""The set of the names of pod bridges."""
INVALID = "invalid"
"""The counter of what connection tracking calls invalid and no rule admits: late segments of known
connections mostly, so no denials."""

NOTE = "meta_"
"""What names of counters and sets begin with that only say something about the table."""
DIGEST = f"{NOTE}digest"
OPTIONS = f"{NOTE}options"
POD_BRIDGES_NOTE = f"{NOTE}bridges"
PENDING_NOTE = f"{NOTE}pending"
LOADED = f"{NOTE}loaded"
UNCONFIRMED = f"{NOTE}unconfirmed"
GENERATION = f"{NOTE}generation"
INPUTS = f"{NOTE}inputs"
"""What `apply` made the table of (`rollout/state/made.py`)."""
ODD = f"{NOTE}odd_"
"""What names of counters begin with that each tell of one object; its comment says what is done."""
NOTED = {version: f"{NOTE}pods{version.value}" for version in Family}
"""The sets that note who has each address."""

DROP, AUDIT = "drop_", "audit_"
"""How the names of counters begin: of what a chain denies, of what it would deny."""
AUDIT_LOG, REPLY_LOG = "audit ", "reply "
"""Words in the lines of the log: the packet was let through; it answers a flow."""
MAX_COMMENT = 127
"""Bytes that nft takes."""
_TWIN = "reply_"
_SHORT = {Direction.INGRESS: "in", Direction.EGRESS: "eg"}


def digest(parts: Iterable[str]) -> str:
    """16 hexadecimal digits that name some content."""
    return sha256("\n".join(parts).encode()).hexdigest()[:16]


def chain_map(direction: Direction, version: Family) -> str:
    """The map from local addresses to the chains that judge them in a direction."""
    return f"{_SHORT[direction]}{version.value}"


def denied_set(direction: Direction, version: Family) -> str:
    """The set that counts by pod what is denied in a direction, or if audited would be."""
    return f"deny_{chain_map(direction, version)}"


def self_set(version: Family) -> str:
    """The set of pairs of addresses of one pod."""
    return f"self{version.value}"


def known_set(version: Family) -> str:
    """The set of the addresses that pods of the node, and itself, are known to have."""
    return f"known{version.value}"


def lets_on(name: str) -> bool:
    """Whether a packet that is not found in the map of this name is judged by what comes next, or
    by nothing. Of the others it is denied, unless a tier asks them.
    """
    return not name.removeprefix(_TWIN).startswith(("a4_", "a6_", "v_"))


def counter_name(chain: str, audited: bool) -> str:
    """The counter of what a chain denies, or if audited would deny."""
    return f"{AUDIT if audited else DROP}{chain}"


def twin(name: str) -> str:
    """The name of the twin of a chain or map."""
    return f"{_TWIN}{name}"


def log_prefix(direction: Direction, chain: str, audited: bool, told: str = "") -> str:
    """How the lines of a chain begin; `told` is what a person wants to read there, cut to fit."""
    head = f"netpolc {AUDIT_LOG if audited else ''}{direction} {chain}"
    room = MAX_COMMENT - len(head) - len(REPLY_LOG) - len(" : ")
    return f"{head} {told[:room]}: " if told else f"{head}: "


def reply_prefix(prefix: str) -> str:
    """How the lines of a chain's twin begin, which judges replies as the flow they answer."""
    product, _, rest = prefix.partition(" ")
    return f"{product} {REPLY_LOG}{rest}"


def said(origin: Origin) -> str:
    """The object, the rule, and what its author called it, as far as that is harmless here."""
    called = f" ({ruleset_word(origin.called)})" if origin.called else ""
    return f"{origin}{called}"


def naming(origins: Iterable[Origin]) -> str:
    """A comment that names where a rule comes from, as many as fit."""
    several = list(dict.fromkeys(origins))
    if len(several) == 1 and len(name := said(several[0])) <= MAX_COMMENT:
        return name
    names: list[str] = []
    length = 0
    for origin in several:  # of thousands only the first are put into words
        names.append(said(origin))
        length += len(names[-1]) + len(", ")
        if length > MAX_COMMENT + len(", "):
            break
    else:
        return ", ".join(names)
    kept: list[str] = []
    for name in names:
        more = f" +{len(several) - len(kept) - 1} more"
        if len(", ".join([*kept, name])) + len(more) > MAX_COMMENT:
            break
        kept.append(name)
    if not kept:
        return names[0][: MAX_COMMENT - 14] + (
            f"... +{len(several) - 1} more" if len(several) > 1 else "..."
        )
    return f"{', '.join(kept)} +{len(several) - len(kept)} more"
