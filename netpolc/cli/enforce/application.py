"""What `netpolc apply` does with a snapshot, once or again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from netpolc.backends.nft import Options, Ruleset
from netpolc.backends.nft.rollout.guard import Pending
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.loader import Via
from netpolc.backends.nft.rollout.netfilter.monitor import Heard, Monitor
from netpolc.backends.nft.rollout.rollout import (
    Held,
    Plan,
    Rollout,
    refuse_empty,
    restore,
    roll_out,
)
from netpolc.backends.nft.write.delta import Delta
from netpolc.cli import options, terminal
from netpolc.cli.enforce.plan import show_plan
from netpolc.cli.enforce.unchanged import AUDIT, what
from netpolc.cli.host import local_node, on_this_host
from netpolc.cli.inputs import Inputs, Seen
from netpolc.cli.output import write
from netpolc.compiler import Program, compile
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import NetpolcError, Unproven

if TYPE_CHECKING:  # who applies once follows nothing
    from netpolc.cli.enforce.followed import FollowedFolders


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The options of `netpolc apply` that say what is loaded, and how."""

    node: str | None
    all_pods: bool
    chosen: Options
    proves: bool
    save: str | None
    confirm: int | None
    """Seconds."""
    flush_conntrack: bool
    allow_empty: bool
    watch: bool


@dataclass(frozen=True, eq=False)
class _Compiled:
    compiled: Callable[[], Program]
    ruleset: Ruleset
    what: str
    """For the user: table, node and digest."""
    inputs: str | None
    """What it was made of, if nothing was said of that, and a table may note it."""
    missing: str
    """What the snapshot lacks that denies nothing; empty where --allow-empty makes it good."""
    snapshot: Callable[[], Snapshot]
    followed: bool
    """Whether it was made from what had changed."""

    @cached_property
    def program(self) -> Program:
        """What the ruleset means."""
        return self.compiled()


class Application:
    """The manifests at some paths in the kernel; remembers what it applied last."""

    def __init__(
        self,
        paths: tuple[str, ...],
        reading: options.Reading,
        via: Via,
        wanted: Wanted,
        asked: Inputs | None = None,
    ) -> None:
        self._paths, self._reading, self._via, self._wanted = paths, reading, via, wanted
        self._asked = asked
        self._applied: _Compiled | None = None
        self._held: Held | None = None
        self._followed: FollowedFolders | None = None

    @cached_property
    def kernel(self) -> Kernel:
        """One, made once the input is good."""
        own = Kernel(via=self._via)
        if self._wanted.watch:
            own.hear(Heard(Monitor(self._wanted.chosen.table)))
        return own

    @property
    def digest(self) -> str:
        """Of what was applied last."""
        return "" if self._applied is None else self._applied.ruleset.digest

    def plan(self, dry_run: bool) -> bool:
        """Show what would change; whether anything would."""
        own = self._compiled()
        refuse_empty(self.kernel.facts, self._wanted.chosen.table, own.missing)
        said = own.what + self._audit
        changes = show_plan(self.kernel, own.program, own.ruleset, said)
        if dry_run:
            self.kernel.check(own.ruleset)
            terminal.say(f"the kernel would load {said}")
        return changes

    def once(self) -> tuple[str, Pending | None]:
        """Apply what the paths hold now: what is said of it, and who waits to be confirmed."""
        own = self._compiled()
        try:
            return self._loaded(own)
        except Unproven:
            if not own.followed:
                raise
        self._followed = None  # whatever went wrong there: all is read and proven again
        return self._loaded(self._afresh())

    def follow(self) -> None:
        """Get ready for the next change, so that it costs only what changes.

        Where that cannot be, all is read at each change.
        """
        from netpolc.cli.enforce.followed import FollowedFolders, says_nothing

        own, reading = self._applied, self._reading
        node = own.ruleset.node if own is not None else None
        if own is None or node is None:
            return
        try:
            if own.followed and self._followed is not None:
                self._followed.get_ready()
            if own.followed or (self._followed is not None and self._followed.node == node):
                return
            if says_nothing(own.snapshot()) and FollowedFolders.may_follow(reading, node):
                self._followed = FollowedFolders(self._paths, reading, node, self._wanted.chosen)
                self._followed.begin()
        except NetpolcError:  # all that was applied could be: what follows it is to blame
            self._followed = None

    def _loaded(self, own: _Compiled) -> tuple[str, Pending | None]:
        wanted = self._wanted
        save = wanted.save
        steps = Plan(
            own.program if wanted.proves else None,
            (lambda text: write(text, save)) if save is not None else None,
            wanted.confirm,
            own.program if wanted.flush_conntrack else None,
            own.missing,
            quick=wanted.watch,
            inputs=own.inputs,
        )
        rollout = roll_out(self.kernel, own.ruleset, steps)
        self._applied = own
        return self._said(own.what, rollout), rollout.pending

    def watched(self) -> str:
        """Apply once more, and be able to bring back what was there before the first time."""
        if self._applied is None:
            self._hold()  # whatever becomes of the snapshot: what is there may be flushed
        return self.once()[0]

    def restore(self) -> str:
        """Bring back what was applied last; before that, what was there at the start."""
        if self._applied is None:
            return self._hold().restore()
        chosen, own = self._wanted.chosen, self._applied
        judged_again = chosen.recheck or chosen.audit
        denied = None if judged_again else lambda: own.program
        return restore(self.kernel, own.ruleset, denied)

    def _hold(self) -> Held:
        """What was there before the first time, read once."""
        if self._held is None:
            self._held = Held(self.kernel, self._wanted.chosen.table)
        return self._held

    @property
    def _audit(self) -> str:
        return AUDIT if self._wanted.chosen.audit else ""

    def _compiled(self) -> _Compiled:
        """What the paths hold now: from what changed in it, if that is known for sure."""
        try:
            followed = self._followed
            found = followed.current(self._wanted.node) if followed is not None else None
        except NetpolcError:  # all files tell whether they are to blame; else that was a bug
            self._followed = found = None
        if found is None:
            return self._afresh()
        ruleset, snapshot, program, enforces = found
        lacks = "" if enforces else _missing(snapshot(), ruleset.node)
        said = what(self._wanted.chosen.table, ruleset.node, ruleset.digest)
        missing = self._missing(lacks)
        made = (lambda: compile(snapshot())) if program is None else lambda: program
        return _Compiled(made, ruleset, said, None, missing, snapshot, followed=True)

    def _afresh(self) -> _Compiled:
        """The same, with every file read."""
        wanted, asked = self._wanted, self._asked
        seen = Seen() if asked is not None else None
        snapshot = self._reading.snapshot(self._paths, seen=seen)
        local = local_node(snapshot, wanted.node, wanted.all_pods)
        here = asked.addresses if asked is not None else None
        program = compile(snapshot if local is None else on_this_host(snapshot, local, here))
        lacks = _missing(snapshot, local)
        missing = self._missing(lacks)
        ruleset = program.ruleset(local, wanted.chosen)
        inputs, files = None, seen.of_silent(snapshot) if seen is not None else None
        if asked is not None and files is not None and not lacks:
            inputs = asked.digest(files, local, wanted.chosen)
        said = what(wanted.chosen.table, local, ruleset.digest)
        return _Compiled(
            lambda: program, ruleset, said, inputs, missing, lambda: snapshot, followed=False
        )

    def _missing(self, lacks: str) -> str:
        """The same where it matters; the table is brought back first, if it may be gone."""
        missing = "" if self._wanted.allow_empty else lacks
        if missing and self._wanted.watch:
            self.restore()  # else nothing tells whom a table that was just flushed isolated
        return missing

    def _said(self, what: str, rollout: Rollout) -> str:
        delta = rollout.update.delta
        touched = f" ({delta})" if delta else ""
        proven = ", proven" if self._wanted.proves and not rollout.unproven else ""
        said = f"{_done(delta)} {what}{proven}{self._audit}{touched}"
        if rollout.unproven:
            said += f"; not proven: {rollout.unproven}"
        if rollout.by_pairs:
            said += f"\nevery pair of addresses was walked for itself: {rollout.by_pairs}"
        if self._wanted.flush_conntrack:
            flows = "open flow that is" if rollout.forgotten == 1 else "open flows that are"
            said += f"\nforgot {rollout.forgotten} {flows} denied now"
        return said


def _missing(snapshot: Snapshot, node: str | None) -> str:
    """What a snapshot lacks that denies nothing; pods of the host's network are denied nothing."""
    local = (pod for pod in snapshot.cluster.pods if pod.is_on(node))
    if not any(pod.addresses and not pod.host_network for pod in local):
        return "no pod with an address" + (f" on node {node}" if node is not None else "")
    return "" if any(policy.restricts for policy in snapshot.policies) else "no NetworkPolicy"


def _done(delta: Delta | None) -> str:
    if delta is None:
        return "loaded"
    return "updated" if delta else "nothing to change in"
