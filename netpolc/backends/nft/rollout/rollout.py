"""Rolls a ruleset out: prove it, save what it replaces, load, read back, wait to be confirmed; and
watches it afterwards.

Comes in: a kernel, a ruleset and a `Plan`. Goes out: the table in force, and what is pending.
Refused: a ruleset that does not do what the policies mean (`Unproven`), what the kernel or the
system says no to (`SystemRefusal`), a signal (`Interrupted`). The table that was there before is
then in force; where that is not so, the `SystemRefusal` says what is (`attempt.py`).

All of it happens under the table's lock, so that what is saved is what was replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from netpolc.backends.nft.names import PENDING, UNKNOWN
from netpolc.backends.nft.options import ALLOW, Options
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import Fragmented, Proof
from netpolc.backends.nft.rollout import guard
from netpolc.backends.nft.rollout.attempt import Attempt
from netpolc.backends.nft.rollout.kernel import Kernel, Update
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.loader import Via
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.rollout.state.drift import Drift
from netpolc.backends.nft.rollout.state.facts import Facts
from netpolc.backends.nft.rollout.state.loaded import drifted
from netpolc.backends.nft.rollout.state.saving import Saved
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.backends.nft.rollout.stopping import Stops
from netpolc.backends.nft.write.ruleset import Ruleset
from netpolc.core.errors import Emptied, RulesetError, SystemRefusal, Unproven, listing
from netpolc.core.program import Program


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done around a load.

    With `program` the ruleset is proven against it, before and after; a ruleset that boxes do not
    describe is proven pair by pair, for hours it may be, or with `quick` not at all, and the
    `Rollout` says so. `save` gets the transaction
    that brings the old table back, before anything is loaded. `seconds` is how long the rollout
    waits to be confirmed. Open flows that `forget` denies are forgotten at the end. `missing` says
    what a snapshot that isolates nobody lacks: it does not replace a table that isolates somebody.
    """

    program: Program | None = None
    save: Callable[[str], None] | None = None
    seconds: int | None = None
    forget: Program | None = None
    missing: str = ""
    quick: bool = False
    inputs: str | None = None
    """What the ruleset was made of, to be noted in the table (`state/made.py`); None: not noted."""

    @property
    def may_go_back(self) -> bool:
        """Whether the old table may be wanted again: saving it costs as much as loading one."""
        wanted = (self.program, self.save, self.seconds, self.forget)
        return any(own is not None for own in wanted)


@dataclass(frozen=True, slots=True)
class Rollout:
    """What was done, what is pending when it has to be confirmed, how many flows were forgotten,
    and why the ruleset was proven pair by pair, or not at all; empty if neither.
    """

    update: Update
    pending: guard.Pending | None
    forgotten: int
    by_pairs: str = ""
    unproven: str = ""


def roll_out(kernel: Kernel, ruleset: Ruleset, plan: Plan) -> Rollout:
    """Load a ruleset as planned, or what of it differs from what is loaded."""
    table = ruleset.options.table
    emitted, by_pairs, unproven = None, "", ""
    if plan.program is not None:
        emitted = parse_text.parse(ruleset.text())
        try:
            by_pairs = prove(plan.program, emitted, ruleset, pairs=not plan.quick)
        except Fragmented as error:
            unproven = str(error)
    with kernel.locked(table):
        refuse_empty(kernel.facts, table, plan.missing)
        if plan.seconds is not None and (waiting := kernel.facts.unconfirmed(table)) is not None:
            raise SystemRefusal(
                f"table inet {table} waits to be confirmed until {waiting.until}, and what it "
                "replaced is the last confirmed one: `netpolc confirm` it first"
            )
        previous = kernel.saved(table) if plan.may_go_back else None
        if plan.save is not None and previous is not None:
            if not previous.text:
                raise SystemRefusal(f"table inet {table} cannot be saved as text: {previous.why}")
            plan.save(previous.text)
        pending = _guarded(table, previous, plan.seconds)
        with Attempt(kernel, ruleset.options.table, ruleset.digest, previous, pending) as attempt:
            waits = pending.unconfirmed if pending is not None else None
            inputs = plan.inputs if waits is None else None
            update = kernel.update(ruleset, unconfirmed=waits, inputs=inputs)
            attempt.stops.check()
            if plan.program is not None and emitted is not None:
                _read_back(kernel, plan, emitted, ruleset, attempt.stops)
            forget_moved(kernel, ruleset, update)
            denied = plan.forget
            forgotten = conntrack.forget_denied(denied, ruleset.node) if denied is not None else 0
            attempt.stops.check()
    return Rollout(update, pending, forgotten, by_pairs, unproven)


def _guarded(table: str, previous: Saved | None, seconds: int | None) -> guard.Pending | None:
    if previous is None or seconds is None:
        return None
    return guard.start(table, previous, seconds)


def forget_moved(
    kernel: Kernel,
    ruleset: Ruleset,
    update: Update,
    forget: Callable[[Collection[int]], object] | None = None,
) -> None:
    """Forget the flows of addresses that changed hands or were given up, by `forget` if it is
    given.

    Their pods are gone, and the next one must not inherit what was admitted to them. An address
    that is new on this node had a pod that nothing here knew, if any: what the policies deny of its
    flows is forgotten. After the load, so that no packet begins a flow anew by the old rules.
    """
    options = ruleset.options
    if update.moved:
        (forget or conntrack.forget_addresses)(update.moved)
        kernel.settle(ruleset)
    if update.arrived and not options.audit and not options.recheck:
        conntrack.forget_denied(ruleset.owners.program, ruleset.node, update.arrived)


def refuse_empty(facts: Facts, table: str, missing: str) -> None:
    """`Emptied` if the snapshot lacks something and the loaded table isolates somebody."""
    loaded = facts.loaded(table) if missing else None
    drops = loaded.drops if loaded is not None else ()
    nobodys = {*UNKNOWN.values(), *PENDING.values()}
    isolating = {own.policies for own in drops if not own.audited and own.chain not in nobodys}
    if isolating:
        raise Emptied(
            f"the snapshot has {missing}, and table inet {table} isolates pods by "
            f"{listing(isolating)}: it stays in force (--allow-empty opens them)"
        )


def restore(kernel: Kernel, ruleset: Ruleset, denied: Callable[[], Program] | None) -> str:
    """Bring back a table that somebody else changed; says what was done, if anything was.

    Open flows that `denied` denies, which is asked only then, are forgotten: they may have begun
    while the table was away.
    """
    table = ruleset.options.table
    with kernel.locked(table):
        update = kernel.update(ruleset)
        forget_moved(kernel, ruleset, update)
    if update.delta is not None and not update.delta:
        return ""
    if denied is not None:
        conntrack.forget_denied(denied(), ruleset.node)
    return f"restored table inet {table}"


class Held:
    """The table as it was found; it is kept until one of a snapshot takes its place."""

    def __init__(self, kernel: Kernel, table: str) -> None:
        self._kernel, self._table = kernel, table
        absent = not kernel.tables.exists(table) or kernel.tables.owner(table) is not None
        self._saved = None if absent else kernel.saved(table)

    def restore(self) -> str:
        """Bring it back if it is gone; says so."""
        with self._kernel.locked(self._table):
            if self._saved is None or self._kernel.tables.exists(self._table):
                return ""
            self._kernel.restore(self._saved)
        return f"restored table inet {self._table} as it was found"


def _read_back(
    kernel: Kernel, plan: Plan, emitted: Listing, ruleset: Ruleset, stops: Stops
) -> None:
    """Prove what the kernel holds; what is equal to the emitted listing is proven already."""
    try:
        found = kernel.tables.walked(emitted.table, by_nft=kernel.via is Via.NFT)
    except RulesetError as error:
        raise Unproven(f"what the kernel holds is not what was loaded: {error}") from error
    if found is None:
        raise Unproven(f"table inet {emitted.table} was deleted right after it was loaded")
    if plan.program is not None and found.content() != emitted.content():
        try:
            with stops.at_once():  # a proof can take hours
                prove(plan.program, found, ruleset, pairs=not plan.quick)
        except Fragmented as error:
            raise Unproven(f"what the kernel holds is not what was loaded, and {error}") from error


def prove(program: Program, listing: Listing, ruleset: Ruleset, *, pairs: bool = True) -> str:
    """`Unproven`, with the first differences, unless what is listed does what the policies mean.

    With the options of the ruleset: one that audits lets pass what they deny. Gives why packets
    were walked pair by pair, if they were; without `pairs` raises `Fragmented` instead.
    """
    options = ruleset.options
    proof = Proof(
        program,
        listing,
        ruleset.node,
        audit=options.audit,
        pod_bridges=options.pod_bridges,
        pending=options.pending_blocks(program.cluster, ruleset.node),
        pairs=pairs,
    )
    if shown := list(map(str, proof.first())):
        what = f"table inet {listing.table} differs from the policies"
        raise Unproven("\n".join([f"{what}, {len(shown)} differences or more:", *shown]))
    return proof.by_pairs


@dataclass(frozen=True, slots=True)
class Expected:
    """What is not believed of a loaded table: whether it only audits, its pod bridges, what it does
    with addresses that no pod has yet.
    """

    audit: bool
    pod_bridges: tuple[str, ...]
    pending: str = ALLOW
    pod_cidrs: tuple[str, ...] = ()


class Watch:
    """Looks again and again whether a loaded table does what the policies mean.

    A proof is made again only when the table or the snapshot changed.
    """

    def __init__(self, channel: Channel, table: str, *, by_nft: bool = False) -> None:
        self._channel, self._table, self._by_nft = channel, table, by_nft
        self._proven: str | None = None

    def check(
        self, program: Program, emit: Callable[[Options], Ruleset], expected: Expected
    ) -> None:
        """`Unproven` when the table is missing, modified, stale or wrong.

        `emit` gives the ruleset that the program has with the options of the loaded table. One
        that only audits, or has other pod bridges than `expected`, is wrong.
        """
        facts, tables, table = Facts(self._channel), TableReader(self._channel), self._table
        loaded, content = self._channel.generation.consistent(
            lambda: (facts.loaded(table), tables.content(table)), table
        )
        if loaded is None:
            raise Unproven(f"table inet {table} is {Drift.MISSING}: it is not loaded")
        chosen = replace(
            loaded.options,
            audit=expected.audit,
            pod_bridges=tuple(sorted(expected.pod_bridges)),
            pending=expected.pending,
            pod_cidrs=expected.pod_cidrs,
        )
        ruleset = emit(chosen)
        digest = ruleset.digest
        drift = drifted(loaded, content, digest)
        if Drift.MODIFIED in drift:
            why = "it is not what netpolc apply loaded"
            raise Unproven(f"table inet {self._table} is {Drift.MODIFIED}: {why}")
        if Drift.STALE in drift:
            why = f"it is {loaded.digest} and would be {digest}"
            raise Unproven(f"table inet {self._table} is {Drift.STALE}: {why}")
        if digest != self._proven:
            listing = tables.walked(table, by_nft=self._by_nft)
            if listing is None:
                raise Unproven(f"table inet {table} is {Drift.MISSING}: it was deleted just now")
            prove(program, listing, ruleset)
            self._proven = digest
