"""What the kernel looks at when every command of a transaction is done: whatever a base chain leads
to, in the order of its rules (`nft_chain_validate` in `net/netfilter/nf_tables_api.c`).

Chains that no base chain leads to are not looked at: what is wrong in them is refused by whoever
leads there.
"""

from __future__ import annotations

import errno

from tests.helpers.fake_nftables.refusal import Refusal
from tests.helpers.fake_nftables.tables import Table

DEEPEST = 15
"""How many chains may stand below a base chain: NFT_JUMP_STACK_SIZE, less the base chain."""
REJECTING = ("prerouting", "input", "forward", "output")
"""The hooks in which `reject` may stand (`nft_reject_inet_validate`)."""


def validate(table: Table) -> None:
    """`Refusal` of a loop or of too many chains in a row, or of a reject in another hook."""
    for name, chain in table.chains.items():
        if chain.hook is not None:
            _walk(table, name, chain.hook.name, 0, {})


def _walk(table: Table, name: str, hook: str, level: int, seen: dict[str, int]) -> None:
    """`seen` is the deepest level at which each chain was fine."""
    if level > DEEPEST:
        raise Refusal(errno.EMLINK, f"chain {name}")
    for rule in table.chains[name].rules:
        if rule.rejects and hook not in REJECTING:
            raise Refusal(errno.EOPNOTSUPP, f"chain {name} rejects")
        for target in table.targets(rule):
            if seen.get(target, -1) < level + 1:
                _walk(table, target, hook, level + 1, seen)
    seen[name] = level
