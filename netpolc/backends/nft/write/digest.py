"""The digest of a table: it names what the table holds, in whatever order that was listed.

Comes in: the objects of a table. Goes out: 128 bits of SHA-256 over the digests of its objects in
order of kind and name; each is SHA-256 over what is said of the object, and its rules in their
order or its elements in none. Notes (`is_note`) are left out. Nothing is refused.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable
from hashlib import sha256
from operator import attrgetter

from netpolc.backends.nft import model
from netpolc.backends.nft.names import GENERATION, NOTE, OPTIONS
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.options import Options

_NOTES = frozenset({"counter", "set"})
_END = "137\n"
"""What ends a piece of a set: an element that ends so. Of addresses it is one in some hundreds."""


def digest_of(objects: Iterable[Written]) -> str:
    """Names what a table holds, but for its notes.

    The generation is a note, too, where rules have the one that is noted (see `Ruleset`).
    """
    held = [own for own in unmarked(objects) if not is_note(own)]
    return digest_over(map(object_digest, sorted(held, key=attrgetter("kind", "name"))))


def is_note(own: Written) -> bool:
    """Whether an object only says something of the table: counters and sets of such a name, which
    judge nothing where no rule asks them. A chain of that name judges if it has a hook.
    """
    return own.kind in _NOTES and own.name.startswith(NOTE)


def digest_over(digests: Iterable[bytes]) -> str:
    """Names what a table holds by the digests of its objects, in order of kind and name."""
    return f"sha256:{sha256(b''.join(digests)).hexdigest()[:32]}"


def unmarked(objects: Iterable[Written]) -> list[Written]:
    """The objects of a table, without a generation where rules have the one that is noted."""
    found = list(objects)
    comments = {own.name: own.comment or "" for own in found if own.kind == "counter"}
    before = generation(comments.get(GENERATION, ""))
    try:
        options = Options.from_description("netpolc", comments.get(OPTIONS, ""))
    except ValueError:
        return found  # netpolc says no such thing: it is compared as it is
    if not before or not options.recheck:
        return found
    return [own.remarked(options.mark_mask, before, model.NO_GENERATION) for own in found]


def generation(note: str) -> int:
    """The generation that a comment notes; 0 for none."""
    digits = note.removeprefix("0x")
    if not 0 < len(digits) <= 8 or not set(digits) <= set("0123456789abcdef"):
        return 0
    value = int(digits, 16)
    return value if note == f"{value:#x}" else 0


def object_digest(entry: Written) -> bytes:
    """Names one object. No word holds a line's end, so no two objects give the same bytes."""
    words = (entry.key, *entry.opening, "", *map(str, entry.rules))
    content = sha256("\n".join(words).encode())
    if entry.elements:
        content.update(_over(_cut(sorted(entry.elements))))
    return content.digest()


class Members:
    """The digest of elements in no order, which a change of some need not make anew.

    The elements, sorted, are cut into pieces, each after an element that says so by itself
    (`_END`); each piece has a digest, and all have one over those. One element that comes or goes
    changes its piece and leaves the others. A sum of the elements' digests would be shorter to
    change, but it takes one hash an element, five times as long for a new ruleset, and who chooses
    which of many pods are in a set can make two that have one sum (Wagner, A Generalized Birthday
    Problem, 2002). To meet this one is to break SHA-256; who chooses addresses, at most makes the
    pieces long, and then it costs what a digest of everything costs.
    """

    def __init__(self, elements: Iterable[str]) -> None:
        self._pieces = _cut(sorted(elements))
        self._digests = [_of(own) for own in self._pieces]

    def digest(self) -> bytes:
        """Names the elements."""
        return sha256(b"".join(self._digests)).digest()

    def edit(self, out: Iterable[str], into: Iterable[str]) -> None:
        """Let elements go that are there, and others come that are not."""
        for element in out:
            self._change(element, gone=True)
        for element in into:
            self._change(element, gone=False)

    def _change(self, element: str, *, gone: bool) -> None:
        at = max(0, bisect_right(self._pieces, f"{element}\n") - 1)
        # With the one after it: an end that goes joins them.
        lines = "".join(self._pieces[at : at + 2]).splitlines()
        if gone:
            lines.remove(element)
        else:
            insort(lines, element)
        pieces = _cut(lines)
        self._pieces[at : at + 2] = pieces
        self._digests[at : at + 2] = map(_of, pieces)


def _cut(lines: list[str]) -> list[str]:
    """Pieces that each end as they should, but for the last."""
    if not lines:
        return []
    text = "\n".join(lines) + "\n"
    *pieces, rest = text.split(_END)
    return [*(own + _END for own in pieces), *([rest] if rest else [])]


def _over(pieces: list[str]) -> bytes:
    return sha256(b"".join(map(_of, pieces))).digest()


def _of(piece: str) -> bytes:
    return sha256(piece.encode()).digest()
