"""What nodes have in common is written and hashed once: sets, maps, chains and counters.

Comes in: the objects of tables, node after node of one Program. Goes out: each as it is written,
its digest and its block of text. An object is known by its kind and name, and what was made of it
is used again while it is the same: so no more is kept than there are names, and a name that means
something else on every node has the last one's. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from netpolc.backends.nft import model
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.write import text
from netpolc.backends.nft.write.digest import digest_of, object_digest


class _Piece(Struct):
    """An object, what it is as written, and what was asked of that."""

    entry: text.Entry
    written: Written
    shared: bool = False
    """Whether another node has asked for it."""
    digest: bytes | None = None
    block: str | None = None


class Pieces:
    """What was made of objects, by their names."""

    def __init__(self) -> None:
        self._known: dict[tuple[type, str], _Piece] = {}
        self._of: dict[int, _Piece] = {}
        """By the `id` of what is written, which the piece keeps."""

    def written(self, table: model.Table) -> Iterator[Written]:
        """Every object of a table, in order."""
        for entry in text.entries(table):
            named = type(entry), entry.name
            known = self._known.get(named)
            if known is not None and (known.entry is entry or known.entry == entry):
                known.shared = True
            else:
                if known is not None:
                    del self._of[id(known.written)]
                known = self._known[named] = _Piece(entry, text.written(entry))
                self._of[id(known.written)] = known
            yield known.written

    def digest(self, objects: Iterable[Written]) -> str:
        """What `digest_of` says of a table."""
        return digest_of(objects, self._digest)

    def _digest(self, own: Written) -> bytes:
        known = self._of.get(id(own))
        if known is None:
            return object_digest(own)
        if known.digest is None:
            known.digest = object_digest(own)
        return known.digest

    def block(self, own: Written) -> str:
        """What `Written.block` says; kept once it has been asked for another node, too: most
        programs write one.
        """
        known = self._of.get(id(own))
        if known is None or not known.shared:
            return own.block()
        if known.block is None:
            known.block = own.block()
        return known.block
