"""Whether a table is, to its last object, what some inputs gave when they were compiled.

Comes in: the objects of a table as they are read back, digests of inputs. Goes out: the note that a
table carries of the inputs that it was made of, and whether it is still what they gave. Nothing is
refused.

A note is one digest over the inputs, over what the table holds and over all else that the table
notes. So it says nothing of another content: whoever changes the table, an older netpolc or an
agent included, need not know of it, and one that is left behind is a note of nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from msgspec import Struct

from netpolc.backends.nft.names import DIGEST, INPUTS, LOADED, UNCONFIRMED
from netpolc.backends.nft.objects import Written, key
from netpolc.backends.nft.write.digest import digest_of, is_note, object_digest

_PASSED_OVER = frozenset({key("counter", LOADED), key("counter", INPUTS)})
"""When it was loaded, and the note itself."""


class Made(Struct, frozen=True):
    """What a table holds now: `content` is its digest, `said` the one that it says is its own,
    `inputs` the note, empty where there is none; `others` are the objects that note all else.
    """

    content: str
    said: str
    inputs: str
    others: tuple[Written, ...]

    def is_of(self, inputs: str) -> bool:
        """Whether it is what these inputs gave; never where it waits to be confirmed."""
        if self.content != self.said or any(own.name == UNCONFIRMED for own in self.others):
            return False
        return bool(self.inputs) and self.inputs == note(inputs, self.content, self.others)


def as_made(objects: Iterable[Written]) -> Made:
    """A table of these objects, those that note owners of addresses with their elements."""
    every = list(objects)
    comments = {own.key: own.comment or "" for own in every}
    others = (own for own in every if is_note(own) and own.key not in _PASSED_OVER)
    said, inputs = (comments.get(key("counter", own), "") for own in (DIGEST, INPUTS))
    return Made(digest_of(every), said, inputs, tuple(others))


def note(inputs: str, content: str, others: Iterable[Written]) -> str:
    """What is noted of inputs in a table of this content that notes these `others`."""
    found = sha256(f"{inputs}\n{content}\n".encode())
    for own in sorted(others, key=lambda own: own.key):
        found.update(object_digest(own))
    return f"sha256:{found.hexdigest()}"
