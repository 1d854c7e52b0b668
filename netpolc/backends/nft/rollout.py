"""Rolls a ruleset out: prove it, save what it replaces, load, read back, wait to be confirmed; and
watches it afterwards.

Comes in: a kernel, a ruleset and a `Plan`. Goes out: the table in force, and what is pending. On
every error the table that was there before is in force: `Unproven` when a ruleset does not do what
the policies mean, `SystemRefusal` when the kernel or the system says no.

All of it happens under the table's lock, so that what is saved is what was replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice

from netpolc.backends.nft import conntrack, guard, parse_json, parse_text
from netpolc.backends.nft.drift import Drift
from netpolc.backends.nft.kernel import Kernel, Update, drifted
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
    waits to be confirmed. Open flows that `forget` denies are forgotten at the end.
    """

    program: Program | None = None
    save: Callable[[str], None] | None = None
    seconds: int | None = None
    forget: Program | None = None

    @property
    def may_go_back(self) -> bool:
        """Whether the old table may be wanted again: saving it costs as much as loading one."""
        wanted = (self.program, self.save, self.seconds, self.forget)
        return any(own is not None for own in wanted)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was done, what is pending when it has to be confirmed, and how many flows were
    forgotten.
    """

    update: Update
    pending: guard.Pending | None
    forgotten: int


def roll_out(kernel: Kernel, ruleset: Ruleset, plan: Plan) -> Rollout:
    """Load a ruleset as planned, or what of it differs from what is loaded."""
    table = ruleset.options.table
    if plan.forget is not None:
        conntrack.require()
    emitted = None
    if plan.program is not None:
        emitted = parse_text.parse(ruleset.text())
        prove(plan.program, emitted, ruleset)
    with kernel.locked(table):
        if plan.seconds is not None and (waiting := kernel.unconfirmed(table)) is not None:
            raise SystemRefusal(
                f"table inet {table} waits to be confirmed until {waiting.until}, and what it "
                "replaced is the last confirmed one: `netpolc confirm` it first"
            )
        previous = kernel.saved(table) if plan.may_go_back else ""
        if plan.save is not None:
            plan.save(previous)
        pending = guard.start(table, previous, plan.seconds) if plan.seconds is not None else None
        try:
            waits = pending.unconfirmed if pending is not None else None
            update = kernel.update(ruleset, unconfirmed=waits)
            if plan.program is not None and emitted is not None:
                _read_back(kernel, plan.program, emitted, ruleset)
            denied = plan.forget
            forgotten = conntrack.forget_denied(denied, ruleset.node) if denied is not None else 0
        except NetpolcError:
            if previous:
                kernel.restore(previous)
            raise
    return Rollout(update, pending, forgotten)


def _read_back(kernel: Kernel, program: Program, emitted: Listing, ruleset: Ruleset) -> None:
    """Prove what the kernel holds; what is equal to the emitted listing is proven already."""
    text = kernel.listing(emitted.table)
    if text is None:
        raise Unproven(f"table inet {emitted.table} was deleted right after it was loaded")
    try:
        found = parse_json.parse(text)
    except RulesetError as error:
        raise Unproven(f"what the kernel holds is not what was loaded: {error}") from error
    if found.content() != emitted.content():
        prove(program, found, ruleset)


def prove(program: Program, listing: Listing, ruleset: Ruleset) -> None:
    """`Unproven`, with the first differences, unless what is listed does what the policies mean.

    With the options of the ruleset: one that audits lets pass what they deny.
    """
    proof = Proof(program, listing, ruleset.node, audit=ruleset.options.audit)
    shown = list(map(str, islice(proof.differences(), _SHOWN)))
    if shown:
        what = f"table inet {listing.table} differs from the policies"
        raise Unproven("\n".join([f"{what}, {len(shown)} differences or more:", *shown]))


class Watch:
    """Looks again and again whether a loaded table does what the policies mean.

    A proof is made again only when the table or the snapshot changed.
    """

    def __init__(self, kernel: Kernel, table: str) -> None:
        self._kernel, self._table = kernel, table
        self._proven: str | None = None

    def check(self, program: Program, emit: Callable[[Options], Ruleset], audit: bool) -> None:
        """`Unproven` when the table is missing, modified, stale or wrong.

        `emit` gives the ruleset that the program has with the options of the loaded table. Without
        `audit` a table that only audits is wrong.
        """
        with self._kernel.locked(self._table):  # so that both are of one table
            loaded, content = self._kernel.loaded(self._table), self._kernel.content(self._table)
            listing = self._kernel.listing(self._table)
        if loaded is None or listing is None:
            raise Unproven(f"table inet {self._table} is {Drift.MISSING}: it is not loaded")
        ruleset = emit(replace(loaded.options, audit=audit))
        digest = ruleset.digest
        drift = drifted(loaded, content, digest)
        if Drift.MODIFIED in drift:
            why = "it is not what netpolc apply loaded"
            raise Unproven(f"table inet {self._table} is {Drift.MODIFIED}: {why}")
        if Drift.STALE in drift:
            why = f"it is {loaded.digest} and would be {digest}"
            raise Unproven(f"table inet {self._table} is {Drift.STALE}: {why}")
        if digest != self._proven:
            prove(program, parse_json.parse(listing), ruleset)
            self._proven = digest
