"""Proves a ruleset equal to what the policies mean, or shows packets on which the two differ.

Comes in: a Program, a `Listing`, the node it is for (None: every pod is local). Goes out: how many
kinds of packets were judged, and the differences. Nothing a ruleset says about itself is believed.

What makes it a proof and not a sample: all packets are walked through the rules, in boxes
(`walk.py`), and every part of every box is compared with what the policies say there
(`meaning.py`), the verdict and what is counted. A part that differs is turned into packets, which
`pairs.py` judges once more, one by one, by `tracer.py` and `core.semantics`: what is told rests on
these two, and a difference that they do not confirm is a bug of netpolc's and stops with an error.

Of packets that a direction denies each direction is judged alone, too: what one lets through by
mistake must not hide behind the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from netpolc.backends.nft.options import POD_BRIDGES
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof.axes import Fragmented, KindAxis
from netpolc.backends.nft.readback.proof.comparison import Comparison
from netpolc.backends.nft.readback.proof.outcomes import Counterexample
from netpolc.backends.nft.readback.proof.pairs import PairProof, Progress
from netpolc.core.nets import NOTHING, Family, Ranges
from netpolc.core.program import Program

SHOWN = 10
"""Differences that are told."""


class Proof:
    """One ruleset against one Program; `cases` counts the kinds of packets judged.

    With `audit` the ruleset is to let everything pass and to count what the policies would deny.
    Addresses in `pending` that no pod of the node has are to be denied.
    `by_pairs` says why packets had to be walked one by one, which can take hours; empty if not.
    Without `pairs` they are not, and the walk raises `Fragmented`.
    Raises `UsageError` when the node is unknown.
    """

    def __init__(
        self,
        program: Program,
        listing: Listing,
        node: str | None = None,
        *,
        audit: bool = False,
        pod_bridges: Iterable[str] = POD_BRIDGES,
        pending: Ranges = NOTHING,
        pairs: bool = True,
    ) -> None:
        self.cases = 0
        self.by_pairs = ""
        self._program, self._listing, self._may_pair = program, listing, pairs
        self._pairs = PairProof(
            program, listing, node, audit=audit, pod_bridges=pod_bridges, pending=pending
        )

    def first(self, progress: Progress = lambda done, total: None) -> list[Counterexample]:
        """The first differences, at most `SHOWN`: nobody reads more, and finding all takes long.

        `progress` is told how many steps are done, of how many.
        """
        return list(islice(self.differences(progress), SHOWN))

    def differences(
        self, progress: Progress = lambda done, total: None
    ) -> Iterator[Counterexample]:
        """Every packet that stands for a class of packets and is judged differently."""
        try:
            kinds = KindAxis(self._program, self._listing, self._pairs.here.classes)
            families = [
                Comparison(self._program, self._listing, self._pairs, kinds, version)
                for version in Family
            ]
            steps = [step for own in families for step in own.steps()]
            for done, step in enumerate(steps, start=1):
                step()
                progress(done, len(steps))
        except Fragmented as error:
            if not self._may_pair:
                raise
            self.by_pairs = str(error)
            yield from self._pairs.differences(progress)
            self.cases = self._pairs.cases
            return
        self.cases = sum(own.cases for own in families)
        for own in families:
            yield from own.differences()
