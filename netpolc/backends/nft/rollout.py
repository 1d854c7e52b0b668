"""Rolls a ruleset out: prove it, save what it replaces, load, read back, wait to be confirmed; and
watches it afterwards.

Comes in: a kernel, a ruleset and a `Plan`. Goes out: the table in force, and what is pending. On
every error the table that was there before is in force: `Unproven` when a ruleset does not do what
the policies mean, `SystemRefusal` when the kernel or the system says no.

All of it happens under the table's lock, so that what is saved is what was replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from netpolc.backends.nft import guard, parse_json, parse_text
from netpolc.backends.nft.drift import Drift, fingerprint
from netpolc.backends.nft.kernel import Kernel, drifted
from netpolc.backends.nft.listing import Listing
from netpolc.backends.nft.options import Options
from netpolc.backends.nft.proof import Proof
from netpolc.backends.nft.ruleset import Ruleset
from netpolc.errors import NetpolcError, RulesetError, SystemRefusal, Unproven
from netpolc.program import Program

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done around a load.

    With `program` the ruleset is proven against it, before and after. `save` gets the transaction
    that brings the old table back, before anything is loaded. `seconds` is how long the rollout
    waits to be confirmed.
    """

    program: Program | None = None
    save: Callable[[str], None] | None = None
    seconds: int | None = None


def roll_out(kernel: Kernel, ruleset: Ruleset, plan: Plan) -> guard.Pending | None:
    """Load a ruleset as planned; what is pending when it has to be confirmed."""
    table = ruleset.options.table
    emitted = None
    if plan.program is not None:
        emitted = parse_text.parse(ruleset.text())
        prove(plan.program, emitted, ruleset.node)
    with kernel.locked(table):
        if plan.seconds is not None and (waiting := kernel.unconfirmed(table)) is not None:
            raise SystemRefusal(
                f"table inet {table} waits to be confirmed until {waiting.until}, and what it "
                "replaced is the last confirmed one: `netpolc confirm` it first"
            )
        previous = kernel.saved(table)
        if plan.save is not None:
            plan.save(previous)
        pending = guard.start(table, previous, plan.seconds) if plan.seconds is not None else None
        try:
            kernel.load(ruleset, unconfirmed=pending.unconfirmed if pending is not None else None)
            if plan.program is not None and emitted is not None:
                _read_back(kernel, plan.program, emitted, ruleset.node)
        except NetpolcError:
            kernel.restore(previous)
            raise
    return pending


def _read_back(kernel: Kernel, program: Program, emitted: Listing, node: str | None) -> None:
    """Prove what the kernel holds; what is equal to the emitted listing is proven already."""
    text = kernel.listing(emitted.table)
    if text is None:
        raise Unproven(f"table inet {emitted.table} was deleted right after it was loaded")
    try:
        found = parse_json.parse(text)
    except RulesetError as error:
        raise Unproven(f"what the kernel holds is not what was loaded: {error}") from error
    if found.content() != emitted.content():
        prove(program, found, node)


def prove(program: Program, listing: Listing, node: str | None) -> None:
    """`Unproven`, with the first differences, unless a ruleset does what the policies mean."""
    shown = list(map(str, islice(Proof(program, listing, node).differences(), _SHOWN)))
    if shown:
        what = f"table inet {listing.table} differs from the policies"
        raise Unproven("\n".join([f"{what}, {len(shown)} differences or more:", *shown]))


class Watch:
    """Looks again and again whether a loaded table does what the policies mean.

    A proof is made again only when the table or the snapshot changed.
    """

    def __init__(self, kernel: Kernel, table: str) -> None:
        self._kernel, self._table = kernel, table
        self._proven: tuple[str, str] | None = None

    def check(self, program: Program, node: str | None, emit: Callable[[Options], Ruleset]) -> None:
        """`Unproven` when the table is missing, modified, stale or wrong.

        `emit` gives the ruleset that the program has with the options of the loaded table.
        """
        found = self._kernel.present(self._table)
        if found is None:
            raise Unproven(f"table inet {self._table} is {Drift.MISSING}: it is not loaded")
        loaded, listing = found
        digest = emit(loaded.options).digest
        drift = drifted(found, digest)
        if Drift.MODIFIED in drift:
            why = "it is not what netpolc apply loaded"
            raise Unproven(f"table inet {self._table} is {Drift.MODIFIED}: {why}")
        if Drift.STALE in drift:
            why = f"it is {loaded.digest} and would be {digest}"
            raise Unproven(f"table inet {self._table} is {Drift.STALE}: {why}")
        present = fingerprint(listing), digest
        if present != self._proven:
            prove(program, parse_json.parse(listing), node)
            self._proven = present
