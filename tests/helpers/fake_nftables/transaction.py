"""What the kernel does with a transaction: command by command on a copy, which takes the place of
the tables when the last one is done and no chain comes back to itself.

Sources: `net/netfilter/nf_tables_api.c`, `nft_set_pipapo.c`; each rule was measured (see `tests/
property/test_fake_nftables.py`). What was measured and one would not guess:

- a chain is deleted with its own rules; a rule of its own that leads to it keeps it in use;
- a comment of a table, a counter or an element stays, whatever is said when it is added again;
- the size of a set that is there may be changed; it holds from the next transaction on;
- a full set takes an element that it has, and one for each that left it before;
- elements are deleted by their lowest corner alone: of ranges, the one that holds it; a verdict
  that is said with it is not looked at;
- of a range of two fields only both ends are looked up: it may enclose one that is there;
- a loop is refused when a base chain leads to it (EMLINK, as are 16 chains one below the other).
"""

from __future__ import annotations

import errno

from tests.helpers.fake_nftables.commands import (
    Command,
    Flush,
    OnElements,
    OnObject,
    OnRule,
    OnTable,
)
from tests.helpers.fake_nftables.evaluation import evaluate
from tests.helpers.fake_nftables.refusal import Refusal, Unmodelled, busy, exists, missing
from tests.helpers.fake_nftables.syntax import commands
from tests.helpers.fake_nftables.tables import Chain, Set, Table
from tests.helpers.fake_nftables.validation import validate
from tests.helpers.fake_nftables.values import Element, element


class FakeNftables:
    """The tables of one network namespace, the number of the last transaction of anybody, and
    every refusal that there was.
    """

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.generation = 1
        self.refusals: list[Refusal] = []

    def run(self, text: str, *, dry: bool = False) -> None:
        """Commit a transaction, or only judge it; `Refusal` leaves everything as it was."""
        try:
            self._run(commands(text), dry)
        except Refusal as refusal:
            self.refusals.append(refusal)
            raise

    def _run(self, read: list[Command], dry: bool) -> None:
        evaluate(read, self.tables)
        named = {command.table for command in read}
        own = {name: self.tables[name].copy() for name in self.tables if name in named}
        made = _Transaction({**self.tables, **own})
        for command in read:
            made.run(command)
        made.finish(named)
        if made.changed and not dry:
            self.tables = made.tables
            self.generation += 1


class _Transaction:
    """`changed` says that the kernel has something to commit, if only an update to what is."""

    def __init__(self, tables: dict[str, Table]) -> None:
        self.tables = tables
        self.changed = False
        self._resized: list[tuple[Set, int]] = []

    def run(self, command: Command) -> None:
        match command:
            case OnTable():
                self._table(command)
            case OnObject():
                self._object(command)
            case OnElements():
                self._elements(command)
            case Flush():
                self._flush(command)
            case OnRule():
                self._rule(command)

    def finish(self, named: set[str]) -> None:
        """What is looked at when every command is done."""
        for found, size in self._resized:
            found.size = size
        for table in (self.tables[name] for name in named if name in self.tables):
            validate(table)

    def _found(self, name: str) -> Table:
        if name not in self.tables:
            raise missing(f"table {name}")
        return self.tables[name]

    def _table(self, command: OnTable) -> None:
        found = self.tables.get(command.table)
        if command.verb in ("delete", "destroy"):
            if found is None and command.verb == "destroy":
                return
            self._found(command.table)
            del self.tables[command.table]
        elif found is None:
            self.tables[command.table] = Table(command.comment, command.dormant)
        elif command.verb == "create":
            raise exists(f"table {command.table}")
        elif found.dormant is command.dormant:
            return
        else:
            if found.updated:
                raise Refusal(errno.EINVAL, f"table {command.table}")
            found.dormant, found.updated = command.dormant, True
        self.changed = True

    def _object(self, command: OnObject) -> None:
        if command.verb in ("delete", "destroy"):
            self._delete(command)
            return
        table = self._found(command.table)
        there = command.name in _names(table, command.kind)
        if there and command.verb == "create":
            raise exists(f"{command.kind} {command.name}")
        if command.kind == "counter":
            if not there:
                table.counters[command.name] = command.comment
                self.changed = True
            return
        self.changed = True
        if command.kind == "chain":
            if there:
                _rebase(table.chains[command.name], command)
            else:
                table.chains[command.name] = Chain(command.hook)
            return
        if command.type is None:
            raise Unmodelled(f"{command.kind} {command.name} of no type")
        if not there:
            table.sets[command.name] = Set(command.type, command.declared, command.size)
            return
        found = table.sets[command.name]
        if found.type != command.type:
            raise exists(f"{command.kind} {command.name}")
        self._resized.append((found, command.size))

    def _delete(self, command: OnObject) -> None:
        table = self._found(command.table)  # which even `destroy` asks for
        names = _names(table, command.kind)
        if command.name not in names:
            if command.verb == "destroy":
                return
            raise missing(f"{command.kind} {command.name}")
        kind = "set" if command.kind == "map" else command.kind
        if table.uses[kind, command.name] > 0:
            raise busy(f"{command.kind} {command.name}")
        if command.kind == "chain":
            table.empty(table.chains[command.name])
        elif kind == "set":
            found = table.sets[command.name]
            table.remove(found, found.elements.values())
        del names[command.name]
        self.changed = True

    def _elements(self, command: OnElements) -> None:
        table = self._found(command.table)
        found = table.sets.get(command.name)
        if found is None:
            raise missing(f"set {command.name}")
        for words in command.elements:
            own = element(words, found.type.types)
            if not found.type.interval and own.start != own.end:
                raise Unmodelled(f"range {words} in a set without them")
            if own.verdict is not None and not found.type.verdicts:
                raise Refusal(errno.EINVAL, f"{words} in a set")
            if command.verb in ("add", "create"):
                self._add(table, found, own, command.verb == "create")
            else:
                self._remove(table, found, own, command.verb == "destroy")

    def _add(self, table: Table, found: Set, own: Element, create: bool) -> None:
        if found.type.verdicts and own.verdict is None:
            raise Refusal(errno.EINVAL, f"{own.words} without a verdict")
        if own.verdict is not None and own.verdict.chain:
            _lead(table, own.verdict.chain)
        before = found.containing(own.start)
        if before:
            same = [had for had in before if had.ranges == own.ranges]
            if not same or create or same[0].verdict != own.verdict:
                raise exists(own.words)
            return
        if found.type.interval and found.containing(own.end):
            raise exists(own.words)
        if found.size and len(found.elements) >= found.size:
            raise Refusal(errno.ENFILE, own.words)
        table.add(found, own)
        self.changed = True

    def _remove(self, table: Table, found: Set, own: Element, destroy: bool) -> None:
        before = found.containing(own.start)
        if len(before) > 1:
            raise Unmodelled(f"which of several ranges is deleted: {own.words}")
        if not before:
            if destroy:
                return
            raise missing(own.words)
        table.remove(found, before)
        self.changed = True

    def _flush(self, command: Flush) -> None:
        table = self._found(command.table)
        if command.kind in ("table", "chain"):
            if command.name and command.name not in table.chains:
                raise missing(f"chain {command.name}")
            for name in [command.name] if command.name else list(table.chains):
                self.changed |= bool(table.chains[name].rules)
                table.empty(table.chains[name])
            return
        found = table.sets.get(command.name)
        if found is None:
            raise missing(f"set {command.name}")
        self.changed |= bool(found.elements)
        table.remove(found, found.elements.values())

    def _rule(self, command: OnRule) -> None:
        table = self._found(command.table)
        chain = table.chains.get(command.chain)
        if chain is None:
            raise missing(f"chain {command.chain}")
        for name in command.rule.chains:
            _lead(table, name)
        for name in command.rule.counters:
            if name not in table.counters:
                raise missing(f"counter {name}")
        for lookup in command.rule.lookups:
            if lookup.name not in table.sets:
                raise missing(f"set {lookup.name}")
        table.put(chain, command.rule, command.first)
        self.changed = True


def _names(table: Table, kind: str) -> dict[str, Chain] | dict[str, Set] | dict[str, str | None]:
    """The objects that share names with one of a kind."""
    if kind == "chain":
        return table.chains
    return table.counters if kind == "counter" else table.sets


def _rebase(chain: Chain, command: OnObject) -> None:
    """Add a chain that is there: its policy may change, and its place may not."""
    hook = command.hook
    if hook is None:
        return
    place = (hook.name, hook.priority)
    if chain.hook is None or place != (chain.hook.name, chain.hook.priority):
        raise Refusal(errno.EOPNOTSUPP, f"chain {command.name}")
    chain.hook = hook


def _lead(table: Table, name: str) -> None:
    if name not in table.chains:
        raise missing(f"chain {name}")
    if table.chains[name].hook is not None:
        raise Refusal(errno.EOPNOTSUPP, f"chain {name} has a hook")
