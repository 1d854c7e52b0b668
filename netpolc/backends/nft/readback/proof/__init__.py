"""Is a ruleset what the policies mean? `prover.py` is where to begin.

It walks boxes of packets (`axes`, `universes`, `walk`), says anew what the policies mean of them
(`meaning`), and compares (`comparison`, `outcomes`). `pairs` does the same packet by packet, with
`decisions` (what the policies say of a flow), `sender` (what the ruleset does with it) and
`locality` (what is local to the node): it puts differences into words, takes over where boxes are
of no use, and is the oracle of the tests.
"""

from netpolc.backends.nft.readback.proof.axes import Fragmented
from netpolc.backends.nft.readback.proof.outcomes import Counterexample
from netpolc.backends.nft.readback.proof.prover import SHOWN, Proof

__all__ = ["SHOWN", "Counterexample", "Fragmented", "Proof"]
