"""nf_tables in memory: runs the transactions that netpolc writes, and refuses what the kernel does.

In: the text of commands for `nft -f`. Out: tables as nft lists them, or a `Refusal` that changed
nothing. Nothing of how netpolc writes is imported: what is here was measured with nft 1.0.6 on
Linux 6.18, and `tests/property/test_fake_nftables.py` holds it against the kernel of the day.

| module | |
|---|---|
| `syntax`, `rules`, `values` | text to commands, rules to statements, elements to numbers |
| `tables` | what a table holds, and who refers to whom |
| `evaluation` | what libnftables refuses before it sends anything |
| `transaction` | what the kernel does, command by command |
| `validation` | what it looks at in the end |
| `listing` | tables as text and as libnftables JSON |
| `stand_in` | a `Kernel` that has this below it |

Not modelled, and refused as `Unmodelled`: other families, intervals of one field, timeouts, and
every word that netpolc does not write. Links are not hooked, packets are walked by the tracer.
"""

from tests.helpers.fake_nftables.refusal import Refusal, Unmodelled
from tests.helpers.fake_nftables.stand_in import FakeKernel
from tests.helpers.fake_nftables.transaction import FakeNftables

__all__ = ["FakeKernel", "FakeNftables", "Refusal", "Unmodelled"]
