"""Sends packets through a ruleset: whole, and as each direction meets it alone.

Comes in: a `Listing`, the `Locality` of it, packets as a `JudgedFlow` and a `Variant`. Goes out:
traces. A ruleset that looks at the port of the wrong end is refused.
"""

from __future__ import annotations

from netpolc.backends.nft.names import PENDING, UNKNOWN, twin
from netpolc.backends.nft.readback.classes import Variant
from netpolc.backends.nft.readback.fields import Field
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof.locality import Locality
from netpolc.backends.nft.readback.proof.outcomes import JudgedFlow
from netpolc.backends.nft.readback.tracer import Packet, Trace, Tracer, packet
from netpolc.core.errors import RulesetError
from netpolc.core.ir import Direction

SCOPES = ("", "egress alone", "ingress alone")
"""The directions that are judged: both, or one as if the other let everything pass."""
_BY_LINK = sum(
    1 << field
    for field in (
        Field.SOURCE,
        Field.DESTINATION,
        Field.OUT_KIND,
        Field.IN_NAME,
        Field.OUT_NAME,
        Field.IN_INDEX,
    )
)
"""What tells whether a packet goes by the chains that ask for its link."""


class Sender:
    """The ruleset of a node, and each direction of it."""

    def __init__(self, listing: Listing, here: Locality) -> None:
        self._here = here
        sent, to = (
            tuple(own[way] for own in (UNKNOWN, PENDING))
            for way in (Direction.EGRESS, Direction.INGRESS)
        )
        egress = listing.without(Field.DESTINATION, (*to, *map(twin, sent)))
        ingress = listing.without(Field.SOURCE, (*sent, *map(twin, to)))
        # A reply has its flow's source as its destination.
        self._listings = {
            False: dict(zip(SCOPES, (listing, egress, ingress), strict=True)),
            True: dict(zip(SCOPES, (listing, ingress, egress), strict=True)),
        }
        self._tracers = {
            answers: {scope: Tracer(listing) for scope, listing in own.items()}
            for answers, own in self._listings.items()
        }

    def listing(self, scope: str, answers: bool) -> Listing:
        """The ruleset as a direction meets it alone; `answers` meet the other ends of it."""
        return self._listings[answers][scope]

    def send(self, question: JudgedFlow, variant: Variant) -> Trace:
        """One packet through the ruleset: of the flow, or of those that answer it."""
        wrong = Field.PORT if variant.answers else Field.SOURCE_PORT
        tracer = self._tracers[variant.answers][question.scope]
        trace = tracer.trace(self._packet(question, variant))
        if trace.asked >> wrong & 1:
            raise RulesetError(f"{trace} is reached by a look at the port of the other end")
        return trace

    def passes_by(self, question: JudgedFlow, variant: Variant) -> bool:
        """Whether the chains that ask for a packet's link let it by for its ends and link alone."""
        tracer = self._tracers[False][question.scope]
        by, asked = tracer.passed_by(self._packet(question, variant))
        return by and not asked & ~_BY_LINK

    def _packet(self, question: JudgedFlow, variant: Variant) -> Packet:
        """The packet of a flow, or one that answers it."""
        flow, ends = question.flow, question.ends
        source, destination, local = ends.source, ends.destination, ends.local
        port, source_port = flow.port, None
        if variant.answers:
            source, destination = destination, source
            local = source in self._here.addresses
            port, source_port = source_port, port
        return packet(
            source,
            destination,
            flow.protocol,
            port,
            source_port=source_port,
            state=variant.state,
            direction=variant.direction,
            judged=bool(variant.judged),
            hop_limit=variant.hop_limit,
            icmpv6_type=variant.icmpv6_type,
            local=local,
            link=variant.link,
            acknowledges=variant.acknowledges,
        )
