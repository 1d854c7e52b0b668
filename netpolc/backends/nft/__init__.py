"""The nftables backend: a Program and a node go in, a ruleset comes out (text or JSON).

Who only looks at what is loaded imports no more than the options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from netpolc.backends.form import Emit, Form
from netpolc.backends.nft.options import (
    ALLOW,
    DENY,
    KEEP,
    LOG_RATE,
    MARK_MASK,
    POD_BRIDGES,
    RECHECK,
    TABLE,
    Options,
    check_table,
)
from netpolc.core.errors import UnsupportedError
from netpolc.core.foreign import ruleset_word

if TYPE_CHECKING:
    from netpolc.backends.nft.write.owners import Owners
    from netpolc.backends.nft.write.ruleset import Ruleset
    from netpolc.core.program import Program

__all__ = [
    "ALLOW",
    "DENY",
    "FORMS",
    "KEEP",
    "LOG_RATE",
    "MARK_MASK",
    "POD_BRIDGES",
    "RECHECK",
    "TABLE",
    "Options",
    "Ruleset",
    "Rulesets",
    "check_table",
]


def __getattr__(name: str) -> Any:
    """`Ruleset`, imported when it is asked for."""
    if name != "Ruleset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from netpolc.backends.nft.write.ruleset import Ruleset

    return Ruleset


class Rulesets:
    """The rulesets of one Program; what nodes share is made once."""

    def __init__(self, program: Program) -> None:
        from netpolc.backends.nft.lower.node import Lowering
        from netpolc.backends.nft.write.pieces import Pieces

        self._program, self._lowering = program, Lowering(program)
        self._pieces = Pieces()
        self._owners: dict[str | None, Owners] = {}
        self._odd = (*_not_judged(program), *program.odd)

    def of(self, node: str | None, options: Options) -> Ruleset:
        """The ruleset of one node (None: every pod is local); `UsageError` for an unknown one,
        `UnsupportedError` for one of more chains in a row than the kernel takes.
        """
        from netpolc.backends.nft.write.owners import Owners
        from netpolc.backends.nft.write.ruleset import Ruleset

        owners = self._owners.setdefault(node, Owners(lambda: self._program, node))
        table = self._lowering.table(node, options)
        made = Ruleset(table, options, node, owners, odd=self._odd, pieces=self._pieces)
        if self._program.is_ordered:
            check_row(made)
        return made


def check_row(made: Ruleset) -> None:
    """`UnsupportedError` for a ruleset of more chains in a row than the kernel takes."""
    from netpolc.backends.nft.objects import MOST_CHAINS, longest_row

    row = longest_row(made.objects.values())
    if len(row) > MOST_CHAINS:  # never met: docs/internals/ruleset.md counts 14 at most
        raise UnsupportedError(
            f"{len(row)} chains would follow one another, from {row[0]} to {row[-1]}, and "
            f"the kernel takes {MOST_CHAINS}"
        )


def _not_judged(program: Program) -> Iterator[str]:
    """What the table says of policies of other kinds, beside the odd objects."""
    from netpolc.core.cluster import unread_counts

    for count, kind, version in unread_counts(program.unread):
        yield f"{count} {ruleset_word(kind)} ({ruleset_word(version)}): not judged"


def _opened(write: Callable[[Ruleset], str]) -> Callable[[Program], Emit]:
    def open_(program: Program) -> Emit:
        rulesets = Rulesets(program)
        return lambda node, options: write(rulesets.of(node, options))

    return open_


FORMS = (
    Form("nft", "nft text", _opened(lambda own: own.text())),
    Form("json", "libnftables JSON", _opened(lambda own: own.json())),
)
