"""What a table was before it is replaced, and how it comes back.

Comes in: the objects of a table with what they counted. Goes out: `Saved`: the table as the kernel
lists it, and as text that any nft loads. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from msgspec import structs

from netpolc.backends.nft.model import Counter
from netpolc.backends.nft.names import UNCONFIRMED
from netpolc.backends.nft.netlink.entities import KernelCounter
from netpolc.backends.nft.netlink.reading.meaning import Listed
from netpolc.backends.nft.netlink.record import TableRecord
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.wording import plain


@dataclass(frozen=True, slots=True)
class Saved:
    """A transaction that brings back exactly what was there, counters included; when nothing was
    there it deletes the table.

    Whoever saves an unconfirmed table means it: what comes back is confirmed. `record` is None
    where libnftables said what there is, and `text` is empty where nobody here has words for it,
    for the reason `why`.
    """

    record: TableRecord | None
    text: str
    why: str = ""


def no_table(table: str) -> str:
    """The beginning of such a text: nothing is there."""
    return f"table inet {table}\ndelete table inet {table}\n"


def as_text(
    table: str,
    comment: str,
    objects: Iterable[tuple[Listed, Written]],
    counters: Sequence[KernelCounter],
) -> str:
    """The text of a table, object by object in the order of the kernel."""
    counted = {own.name: own for own in counters}
    return whole_text(table, _with_counts(objects, counted), comment)


def whole_text(table: str, objects: Iterable[Written], comment: str = "netpolc") -> str:
    """A transaction that loads these objects and nothing else."""
    blocks = "".join(own.block() for own in objects)
    said = f'\tcomment "{plain(comment)}"\n' if comment else ""
    return f"{no_table(table)}table inet {table} {{\n{said}{blocks}}}\n"


def _with_counts(
    objects: Iterable[tuple[Listed, Written]], counted: dict[str, KernelCounter]
) -> Iterator[Written]:
    for listed, own in objects:
        if isinstance(listed.entry, Counter):
            if own.name != UNCONFIRMED:
                count = counted[own.name]
                words = (f"packets {count.packets} bytes {count.size}",)
                yield structs.replace(own, head=words, comment=own.comment or None)
        elif listed.counts:
            pairs = zip(own.elements, listed.counts, strict=True)
            said = (
                f"{one} counter packets {count.packets} bytes {count.size}" for one, count in pairs
            )
            yield structs.replace(own, elements=tuple(said))
        else:
            yield own
