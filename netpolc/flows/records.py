"""One record of a flow log, as every format says it; `schema` has many of them as columns.

Comes in: what a decoder read. Goes out: a `Record`. Needs nothing but msgspec.
"""

from __future__ import annotations

from msgspec import Struct

FORWARDED, DROPPED = "forwarded", "dropped"
EGRESS, INGRESS = "egress", "ingress"


class Record(Struct, gc=False):
    """One record of a log; a field is None where the log does not say.

    `ts` is microseconds since 1970 (UTC), `src` and `dst` are addresses as they are written,
    `port` is the destination's, `direction` says at whose end the record was made (egress: at the
    source's), `verdict` is what became of the packet there, `reporter` is who wrote it (a node, an
    interface), `src_pod` and `dst_pod` are `namespace/name`. A record that names a `problem` is a
    flow that cannot be judged, and why.
    """

    ts: int | None = None
    src: str | None = None
    dst: str | None = None
    src_port: int | None = None
    protocol: int | None = None
    port: int | None = None
    direction: str | None = None
    is_reply: bool | None = None
    verdict: str | None = None
    reporter: str | None = None
    packets: int | None = None
    bytes: int | None = None
    policy: str | None = None
    src_pod: str | None = None
    dst_pod: str | None = None
    problem: str | None = None


NAMES = Record.__struct_fields__
"""Those of the columns of the schema."""
