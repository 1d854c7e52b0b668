"""From what is loaded to a ruleset: by the smallest change, or by replacing the table.

Comes in: a ruleset, the generation of nf_tables. Goes out: an `UpdateStep`; nothing is changed. A
table that cannot be read back, that would change in its base chain, or for which the delta is
longer than the ruleset, is replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from netpolc.backends.nft.objects import Objects
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.rollout.state.facts import Facts
from netpolc.backends.nft.rollout.state.made import note
from netpolc.backends.nft.rollout.state.memory import Known, Memory
from netpolc.backends.nft.write.delta import Delta, delta
from netpolc.backends.nft.write.digest import generation, is_note
from netpolc.backends.nft.write.owners import Noted, Notes
from netpolc.backends.nft.write.ruleset import Ruleset, meaning


@dataclass(frozen=True, slots=True)
class UpdateStep:
    """How `Kernel.update` gets from what is loaded to a ruleset: by a delta, or, for the reason
    `why`, by replacing the table. `waits` says that what is loaded is unconfirmed; `noted` will say
    whose address is whose, `notes` is the delta that makes it so, `before` is what the table
    said (None: nothing), `inputs` what it notes of those (None: nothing); `loaded` are the
    objects that are there.
    """

    ruleset: Ruleset
    objects: Objects
    delta: Delta | None
    waits: bool
    why: str
    noted: Noted
    notes: Delta | None
    before: Notes | None
    inputs: str | None = None
    loaded: Objects = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """How many lines the ruleset has, about, without what is noted of it."""
        return _lines(self.objects)

    def note(self, inputs: str) -> str:
        """What the table notes of the inputs that gave the ruleset; it holds once the flows of
        addresses that changed hands are forgotten, and the table says so (`Kernel.settle`).
        """
        others = [own for own in self.objects.values() if is_note(own)]
        return note(
            inputs, self.ruleset.digest, [*others, *self.ruleset.owners.noted.sets.values()]
        )


class Steps:
    """Finds steps from what is remembered of tables, or said by them."""

    def __init__(self, memory: Memory, facts: Facts) -> None:
        self._memory, self._facts = memory, facts

    def next(self, ruleset: Ruleset, now: int) -> UpdateStep:
        """How to get from what is loaded in the generation `now` to a ruleset."""
        table = ruleset.options.table
        old = self._memory.recall(table, now)
        before = self._facts.noted(table) if old is None else old.noted.notes
        noted = ruleset.owners.pending(before or {})
        ruleset = self.marked(ruleset, old)
        new = ruleset.objects
        if old is None:
            why = f"replaces table inet {table} as a whole: none of netpolc's is loaded"
            return UpdateStep(ruleset, new, None, False, why, noted, None, before)
        notes = old.noted.delta(table, noted)
        found = delta(table, old.objects, new)
        if found is None:
            why = f"replaces table inet {table} as a whole: its base chain changes"
        elif found.lines > len(new) and found.lines >= _lines(new):
            found, why = None, f"replaces table inet {table} as a whole: that is shorter"
        else:
            why = ""
        return UpdateStep(
            ruleset, new, found, old.waits, why, noted, notes, before, old.inputs, old.objects
        )

    def marked(self, ruleset: Ruleset, old: Known | None) -> Ruleset:
        """The ruleset in the generation that is loaded if `old` is just that, else in one that no
        open flow carries, so that every open flow is judged again.
        """
        table = ruleset.options.table
        if not ruleset.options.recheck:
            return ruleset
        loaded = self._facts.mark(table) if old is None else generation(old.mark)
        if old is not None and loaded:
            same = ruleset.marked(loaded)
            found = delta(table, meaning(old.objects), meaning(same.objects))
            if found is not None and not found:
                return same
        values = (own for own in ruleset.generations() if own != loaded)
        return ruleset.marked(conntrack.first_unused(values, ruleset.options.mark_mask))


def _lines(objects: Objects) -> int:
    return sum(own.lines for own in objects.values() if not is_note(own))
