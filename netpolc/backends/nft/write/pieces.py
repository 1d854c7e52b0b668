"""What nodes have in common is written and hashed once: sets, maps, chains and counters.

Comes in: tables, node after node of one Program. Goes out: a `SharedObject` for each object, which
keeps what was made of it: how it is written, its digest and its block of text. An object is known
by its kind and name, and what was made of it is used again while it is the same: so no more is kept
than there are names, and a name that means something else on every node has the last one's. Nothing
is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from netpolc.backends.nft import model
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.write import text
from netpolc.backends.nft.write.digest import object_digest


class SharedObject(Struct, eq=False):
    """An object, what it is as written, and what was asked of that."""

    entry: text.Entry
    written: Written
    key: str
    """By which objects are in order in the digest of a table."""
    shared: bool = False
    """Whether another node has it, too."""
    known_digest: bytes | None = None
    known_block: str | None = None

    def digest(self) -> bytes:
        """What `object_digest` says of it."""
        if self.known_digest is None:
            self.known_digest = object_digest(self.written)
        return self.known_digest

    def block(self) -> str:
        """What `Written.block` says; kept once another node has asked, too: most programs write
        one.
        """
        if self.known_block is not None:
            return self.known_block
        block = self.written.block()
        if self.shared:
            self.known_block = block
        return block


class TablePieces:
    """What was made of the objects of one table, by their keys."""

    def __init__(
        self, by_key: dict[str, SharedObject], digests: dict[str, bytes] | None = None
    ) -> None:
        self.by_key = by_key
        own = {key: by_key[key].digest() for key in sorted(by_key)} if digests is None else digests
        self.digests = own
        """In order of the keys."""

    def edited(self, others: dict[str, SharedObject]) -> TablePieces:
        """The same with others in the place of some."""
        digests = {key: own.digest() for key, own in others.items()}
        return TablePieces(self.by_key | others, self.digests | digests)


class Pieces:
    """What was made of objects, by their names."""

    def __init__(self) -> None:
        self._counters: dict[str, SharedObject] = {}
        self._sets: dict[str, SharedObject] = {}
        self._maps: dict[str, SharedObject] = {}
        self._chains: dict[str, SharedObject] = {}

    def of(self, table: model.Table) -> Iterator[SharedObject]:
        """Every object of a table, in order."""
        yield from _of(table.counters, self._counters)
        yield from _of(table.sets, self._sets)
        yield from _of(table.maps, self._maps)
        yield from _of(table.chains, self._chains)

    def made(self, entries: Iterable[model.NamedSet | model.NamedMap]) -> dict[str, SharedObject]:
        """Some sets and maps by their keys."""
        found: dict[str, SharedObject] = {}
        for entry in entries:
            known = self._maps if isinstance(entry, model.NamedMap) else self._sets
            found |= {own.key: own for own in _of((entry,), known)}
        return found


def _of(entries: Sequence[text.Entry], pieces: dict[str, SharedObject]) -> Iterator[SharedObject]:
    for entry in entries:
        known = pieces.get(entry.name)
        if known is None or known.entry is not entry:
            written = text.written(entry)
            known = pieces[entry.name] = SharedObject(entry, written, written.key)
        else:
            known.shared = True
        yield known
