"""A node's ruleset: the table, and its two written forms.

Comes in from `lower.py`. Goes out: text for `nft -f` and JSON for libnftables, each a whole
transaction that replaces the table, whatever was in it before, and the objects that `diff.py`
compares. The digest names the content and travels with it, in the comment of a counter, so that
`status` can tell what is loaded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from netpolc.backends.nft import json, model, text
from netpolc.backends.nft.options import Options

NOTE = "meta_"
"""What names of counters begin with that only say something about the table."""
DIGEST = f"{NOTE}digest"
OPTIONS = f"{NOTE}options"
LOADED = f"{NOTE}loaded"
UNCONFIRMED = f"{NOTE}unconfirmed"


def digest_of(objects: Iterable[text.Written]) -> str:
    """Names what a table holds, in whatever order it was listed; notes about it are left out.

    Only rules have an order that means anything, within their chain.
    """
    content = sha256()
    for entry in sorted(objects, key=lambda entry: (entry.kind, entry.name)):
        if not entry.name.startswith(NOTE):
            content.update(entry.content().encode())
    return f"sha256:{content.hexdigest()[:32]}"


@dataclass(frozen=True, eq=False)
class Ruleset:
    """The ruleset of `node` (None: every pod of the snapshot is local)."""

    table: model.Table
    options: Options
    node: str | None

    @cached_property
    def digest(self) -> str:
        """Names the content: equal digests mean equal rulesets."""
        return digest_of(self._written)

    @cached_property
    def _written(self) -> tuple[text.Written, ...]:
        return tuple(text.objects(self.table))

    @cached_property
    def _body(self) -> str:
        return "".join(entry.block() for entry in self._written)

    @property
    def facts(self) -> tuple[model.Counter, ...]:
        """Counters that count nothing; their comments say what is loaded."""
        return (
            model.Counter(DIGEST, self.digest),
            model.Counter(OPTIONS, self.options.describe()),
        )

    def objects(self) -> tuple[text.Written, ...]:
        """Every object of the table, facts included, as text."""
        return (*map(text.counter, self.facts), *self._written)

    def text(self) -> str:
        """The transaction as text."""
        what = f"node {self.node}" if self.node is not None else "every pod of the snapshot"
        return text.transaction(self.table.name, self._body, self.facts, what, self.digest)

    def loaded_at(self, moment: str) -> str:
        """One more command of the same transaction: notes when it was loaded."""
        return text.addition(self.table.name, [text.counter(model.Counter(LOADED, moment))])

    def waiting(self, note: str) -> str:
        """One more command of the same transaction: notes that somebody has yet to confirm it."""
        return text.addition(self.table.name, [text.counter(model.Counter(UNCONFIRMED, note))])

    def json(self) -> str:
        """The transaction as libnftables JSON (libnftables-json(5)).

        The one thing it lacks is the table's comment, which JSON cannot say in nft 1.0.6.
        """
        return json.transaction(self.table, self.facts)
