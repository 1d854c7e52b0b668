"""A node's ruleset: the table, and its two written forms.

Comes in from `lower.py`. Goes out: text for `nft -f` and JSON for libnftables, each a whole
transaction that replaces the table, whatever was in it before. The digest names the content and
travels with it, in the comment of the table and of a counter, so that `status` can tell what is
loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from netpolc.backends.nft import json, model, text
from netpolc.backends.nft.options import Options

DIGEST = "meta_digest"
OPTIONS = "meta_options"
LOADED = "meta_loaded"
SEAL = "meta_seal"
UNCONFIRMED = "meta_unconfirmed"


@dataclass(frozen=True, eq=False)
class Ruleset:
    """The ruleset of `node` (None: every pod of the snapshot is local)."""

    table: model.Table
    options: Options
    node: str | None

    @cached_property
    def digest(self) -> str:
        """Names the content: equal digests mean equal rulesets."""
        return f"sha256:{sha256(self._body.encode()).hexdigest()[:32]}"

    @cached_property
    def _body(self) -> str:
        return text.body(self.table)

    @property
    def facts(self) -> tuple[model.Counter, ...]:
        """Counters that count nothing; their comments say what is loaded."""
        return (
            model.Counter(DIGEST, self.digest),
            model.Counter(OPTIONS, self.options.describe()),
        )

    def text(self) -> str:
        """The transaction as text."""
        what = f"node {self.node}" if self.node is not None else "every pod of the snapshot"
        return text.transaction(self.table, self._body, self.facts, what, self.digest)

    def loaded_at(self, moment: str) -> str:
        """One more command of the same transaction: notes when it was loaded."""
        return text.addition(self.table, model.Counter(LOADED, moment))

    def waiting(self, note: str) -> str:
        """One more command of the same transaction: notes that somebody has yet to confirm it."""
        return text.addition(self.table, model.Counter(UNCONFIRMED, note))

    def json(self) -> str:
        """The transaction as libnftables JSON (libnftables-json(5)).

        The one thing it lacks is the table's comment, which JSON cannot say in nft 1.0.6.
        """
        return json.transaction(self.table, self.facts)
