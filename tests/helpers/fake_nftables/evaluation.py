"""What libnftables refuses before it sends anything: names it looks up in its own list of tables
and sets, which follows the commands of the transaction.

Such a refusal comes before any of the kernel's, whatever stands earlier in the transaction.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping

from tests.helpers.fake_nftables.commands import (
    Command,
    Flush,
    OnElements,
    OnObject,
    OnRule,
    OnTable,
    SetType,
)
from tests.helpers.fake_nftables.refusal import Refusal, missing
from tests.helpers.fake_nftables.tables import Table

_ADDS = ("add", "create")


def evaluate(commands: Iterable[Command], tables: Mapping[str, Table]) -> None:
    """`Refusal` when a table or set is named that is not there at that point."""
    known: dict[str, dict[str, SetType]] = {
        name: {own: found.type for own, found in table.sets.items()}
        for name, table in tables.items()
    }
    for command in commands:
        _evaluate(command, known)


def _evaluate(command: Command, known: dict[str, dict[str, SetType]]) -> None:
    match command:
        case OnTable(verb, table):
            if verb in _ADDS:
                known.setdefault(table, {})
            else:
                known.pop(table, None)
        case OnObject(verb, kind, table, name) if verb in _ADDS:
            if table not in known:
                raise missing(f"table {table}")
            if kind in ("set", "map") and command.type is not None:
                known[table].setdefault(name, command.type)
        case OnObject(_, "set" | "map", table, name):
            known.get(table, {}).pop(name, None)
        case OnElements(_, table, name) | Flush("set" | "map", table, name):
            if name not in known.get(table, {}):
                raise missing(f"set {table} {name}")
        case OnRule(table, _, rule):
            for lookup in rule.lookups:
                found = known.get(table, {}).get(lookup.name)
                if found is None:
                    raise missing(f"set {table} {lookup.name}")
                if found.types != lookup.types or lookup.verdicts > found.verdicts:
                    raise Refusal(errno.EINVAL, f"{lookup.name} is of another type")
