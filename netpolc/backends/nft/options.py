"""What a user may choose about a ruleset; checked here, before anything is made.

Refused: table names that are not netpolc's (`delete` must never meet another), hooks and priorities
that would see rewritten addresses, `reject` where the kernel cannot do it, `--pending deny` where
nobody knows the blocks of the pods.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netpolc.core.errors import UsageError
from netpolc.core.nets import NOTHING, Ranges, parse_cidr

if TYPE_CHECKING:
    from netpolc.core.cluster import Cluster

TABLE = "netpolc"
LOG_RATE = "10/second"
DEFAULT_PRIORITY = {"forward": -5, "postrouting": 95}
"""Just before the filters of others; in postrouting just before source NAT (priority 100)."""
_SRCNAT = 100
_TABLE = re.compile(r"netpolc(_[a-z0-9_]{1,48})?", re.ASCII)
KEEP, RECHECK = "keep", "recheck"
ALLOW, DENY = "allow", "deny"
POD_BRIDGES = ("cbr0", "cni0", "kube-bridge")
"""Bridges on which there is nobody but the pods of one node, by the names that kubenet, the CNI
bridge plugin (flannel, k3s) and kube-router give them."""
MARK_MASK = 0xFFF00000
"""The bits of the conntrack mark that netpolc takes unless told: Tailscale has 0xff0000, AWS's CNI
0x80, mwan3 0x3f00. The mark of packets, which kube-proxy uses, is something else."""
_MIN_MARK_BITS = 8
_MAX_NOTE = 127
_LINK = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_.]{0,14}", re.ASCII)
_RATE = re.compile(r"[1-9][0-9]{0,5}/(second|minute|hour|day)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a ruleset.

    `hook` is `forward` or `postrouting`, `priority` that of the base chain (None: the hook's
    default), `deny` is `drop` or `reject`, `log` a rate such as `10/second` (None: denied packets
    are not logged). With `audit` nothing is denied: what would be is counted, logged (at
    `audit_rate`) and let through. `established` is `keep`, or `recheck`: flows are judged again
    after every change, and those that were judged carry it in the bits `mark_mask` of the conntrack
    mark. `pod_bridges` are bridges on which there is nobody but the pods of this node: an address
    there that no pod has is a pod's all the same. `pending` is `allow`, or `deny`: addresses of the
    blocks `pod_cidrs` (none: those that the Node object lists) are denied until a pod of this node
    is known to have them.
    """

    table: str = TABLE
    hook: str = "forward"
    priority: int | None = None
    deny: str = "drop"
    log: str | None = None
    audit: bool = False
    established: str = KEEP
    mark_mask: int = MARK_MASK
    pod_bridges: tuple[str, ...] = POD_BRIDGES
    pending: str = ALLOW
    pod_cidrs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_table(self.table)
        if self.hook not in DEFAULT_PRIORITY:
            raise UsageError(f"hook {self.hook!r} is neither forward nor postrouting")
        if self.deny not in ("drop", "reject"):
            raise UsageError(f"deny {self.deny!r} is neither drop nor reject")
        if self.deny == "reject" and self.hook == "postrouting":
            raise UsageError("the kernel cannot reject in postrouting; use --deny drop")
        if self.hook == "postrouting" and self.base_priority >= _SRCNAT:
            raise UsageError(
                "in postrouting the priority must be below 100: source NAT comes there"
            )
        if not -(1 << 31) <= self.base_priority < 1 << 31:
            raise UsageError(f"priority {self.base_priority} is not a 32-bit number")
        if self.log is not None and not _RATE.fullmatch(self.log):
            raise UsageError(f"log rate {self.log!r} is not like 10/second (or minute, hour, day)")
        if self.established not in (KEEP, RECHECK):
            raise UsageError(f"established {self.established!r} is neither keep nor recheck")
        self._check_pending()
        if isinstance(self.pod_bridges, str):
            raise UsageError(
                f"pod bridges: one name and no list of them: give ({self.pod_bridges!r},)"
            )
        wrong = [name for name in self.pod_bridges if not _LINK.fullmatch(name)]
        if wrong:
            raise UsageError(f"pod bridge {wrong[0]!r} is no name of an interface")
        object.__setattr__(self, "pod_bridges", tuple(sorted({*self.pod_bridges})))
        if len(self.describe_bridges()) > _MAX_NOTE:
            raise UsageError("the names of the pod bridges are too long to be noted in the table")
        if self.mark_mask != MARK_MASK and not self.recheck:
            raise UsageError("a conntrack mark is used only with --established recheck")
        mask, bits = self.mark_mask, self.mark_mask.bit_count()
        if mask >> 32 or bits < _MIN_MARK_BITS or mask >> self.mark_shift != (1 << bits) - 1:
            raise UsageError(
                f"conntrack mark mask {mask:#x} is not {_MIN_MARK_BITS} to 32 bits "
                "in a row, such as 0xfff00000"
            )

    def _check_pending(self) -> None:
        if self.pending not in (ALLOW, DENY):
            raise UsageError(f"pending {self.pending!r} is neither allow nor deny")
        if isinstance(self.pod_cidrs, str):
            raise UsageError(f"pod CIDRs: one and no list of them: give ({self.pod_cidrs!r},)")
        if self.pod_cidrs and not self.denies_pending:
            raise UsageError("pod CIDRs are used only with --pending deny")
        if self.denies_pending and self.audit:
            raise UsageError("--audit denies nothing: leave --pending deny out")
        for text in self.pod_cidrs:
            try:
                parse_cidr(text)
            except ValueError as error:
                raise UsageError(f"pod CIDR {text!r} {error}") from error
        object.__setattr__(self, "pod_cidrs", tuple(sorted({*self.pod_cidrs})))
        if len(self.describe_pending()) > _MAX_NOTE:
            raise UsageError("the pod CIDRs are too long to be noted in the table")

    @property
    def denies_pending(self) -> bool:
        """Whether addresses of the node's pods are denied until a pod is known to have them."""
        return self.pending == DENY

    def pending_blocks(self, cluster: Cluster, node: str | None) -> Ranges:
        """The blocks whose addresses are denied until a pod is known to have them; none unless
        `pending` is `deny`. `UsageError` where nobody knows them.
        """
        if not self.denies_pending:
            return NOTHING
        known = cluster.nodes.get(node) if node is not None else None
        found = Ranges.of(map(parse_cidr, self.pod_cidrs))
        if not found and known is not None:
            found = Ranges.of(known.pod_cidrs)
        if not found:
            of = f"node {node} lists no spec.podCIDRs" if node else "every pod is local"
            raise UsageError(f"--pending deny needs the blocks of the pods, and {of}: --pod-cidr")
        return found

    @property
    def recheck(self) -> bool:
        """Whether open flows are judged again after a change."""
        return self.established == RECHECK

    @property
    def mark_shift(self) -> int:
        """The place of the lowest bit of `mark_mask`."""
        return (self.mark_mask & -self.mark_mask).bit_length() - 1

    @property
    def base_priority(self) -> int:
        """The priority of the base chain."""
        return DEFAULT_PRIORITY[self.hook] if self.priority is None else self.priority

    @property
    def second_priority(self) -> int:
        """The priority of the base chain of ingress, where it has one of its own; `UsageError` if
        there is none between that of egress and source NAT.
        """
        found = self.base_priority + 1
        if (self.hook == "postrouting" and found >= _SRCNAT) or found >= 1 << 31:
            raise UsageError(
                f"priority {self.base_priority} leaves no room for a second base chain, which "
                "audited policies of ordered tiers beside enforced ones need: have it 1 lower"
            )
        return found

    @property
    def audit_rate(self) -> str:
        """How often a chain logs what it would deny: somebody who tries a policy wants to see."""
        return self.log or LOG_RATE

    def describe(self) -> str:
        """The options that are not told of by themselves, as a loaded ruleset carries them: short,
        safe in a comment.
        """
        log = self.log or "off"
        audit = " audit=on" if self.audit else ""
        text = f"hook={self.hook} priority={self.base_priority} deny={self.deny} log={log}{audit}"
        if self.recheck:
            text += f" established={self.established} mark={self.mark_mask:#x}"
        return text

    def describe_bridges(self) -> str:
        """The pod bridges in the same form: a comment of its own, as they may be many."""
        return f"bridges={','.join(self.pod_bridges)}"

    def describe_pending(self) -> str:
        """What is done with addresses that no pod has yet: a comment of its own, if anything is."""
        cidrs = f" cidrs={','.join(self.pod_cidrs)}" if self.pod_cidrs else ""
        return f"pending={self.pending}{cidrs}" if self.denies_pending else ""

    @classmethod
    def from_description(cls, table: str, text: str) -> Options:
        """The options of a loaded ruleset; `ValueError` when the text is not from `describe`,
        `describe_bridges` and `describe_pending` after it. Tables from before there were bridges
        have none.
        """
        found = dict(part.partition("=")[::2] for part in text.split())
        try:
            log = None if found["log"] == "off" else found["log"]
            return cls(
                table,
                found["hook"],
                int(found["priority"]),
                found["deny"],
                log,
                {None: False, "on": True}[found.get("audit")],
                found.get("established", KEEP),
                int(found.get("mark", str(MARK_MASK)), 0),
                tuple(filter(None, found.get("bridges", "").split(","))),
                found.get("pending", ALLOW),
                tuple(filter(None, found.get("cidrs", "").split(","))),
            )
        except (KeyError, ValueError, UsageError) as error:
            raise ValueError(f"not the options of a netpolc ruleset: {text!r}") from error


def check_table(name: str) -> None:
    """`UsageError` unless it is `netpolc` or `netpolc_…`: no keyword, no other's table."""
    if not _TABLE.fullmatch(name):
        raise UsageError(f"table {name!r} is not `netpolc` or `netpolc_` and a-z, 0-9, _")
