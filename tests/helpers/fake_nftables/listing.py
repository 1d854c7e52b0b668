"""Tables as `nft --stateless list table` prints them, and as libnftables JSON.

Elements come in the order in which they were added, where the kernel's hashes have their own.
Nothing is ever counted here: every counter has seen no packet.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from tests.helpers.fake_nftables.tables import Chain, Set, Table
from tests.helpers.fake_nftables.values import Element

Json = dict[str, Any]
Entry = tuple[str, Json]
_NOTHING = {"packets": 0, "bytes": 0}
_METAINFO: Json = {
    "metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}
}


def as_text(name: str, table: Table) -> str:
    """The whole table as text, without what counters count."""
    notes = []
    if table.comment is not None:
        notes.append(f'\tcomment "{table.comment}"\n')
    if table.dormant:
        notes.append("\tflags dormant\n")
    counters = (_block("counter", *own) for own in table.counters.items())
    sets = (_set_block(own, found) for own, found in table.sets.items())
    chains = (_chain_block(own, found) for own, found in table.chains.items())
    body = "\n".join((*counters, *sets, *chains))
    return f"table inet {name} {{\n{''.join(notes)}{body}}}\n"


def _block(kind: str, name: str, comment: str | None, lines: Iterable[str] = ()) -> str:
    noted = [f'comment "{comment}"'] if comment is not None else []
    inside = "".join(f"\t\t{line}\n" for line in (*noted, *lines))
    return f"\t{kind} {name} {{\n{inside}\t}}\n"


def _set_block(name: str, found: Set) -> str:
    lines = [found.declared]
    if found.size:
        lines.append(f"size {found.size}")
    if found.type.interval:
        lines.append("flags interval")
    if found.type.counted:
        lines.append("counter")
    if found.elements:
        counter = " counter" if found.type.counted else ""
        listed = (_element(own, counter) for own in found.elements.values())
        lines.append(f"elements = {{ {', '.join(listed)} }}")
    return _block("map" if found.type.verdicts else "set", name, None, lines)


def _element(own: Element, counter: str) -> str:
    comment = f' comment "{own.comment}"' if own.comment is not None else ""
    verdict = f" : {own.verdict}" if own.verdict is not None else ""
    return f"{own.words}{counter}{comment}{verdict}"


def _chain_block(name: str, chain: Chain) -> str:
    hook = chain.hook
    head = []
    if hook is not None:
        where = f"hook {hook.name} priority {hook.priority}"
        head.append(f"type filter {where}; policy {hook.policy};")
    return _block("chain", name, None, (*head, *(own.words for own in chain.rules)))


def as_json(name: str, table: Table) -> str:
    """The whole table as libnftables JSON, which says nothing of its comment in nft 1.0.6."""
    own: Json = {"family": "inet", "name": name}
    if table.dormant:
        own["flags"] = "dormant"
    return document(name, ("table", own), *_counters(table), *_sets(table), *_chains(table))


def counters_as_json(name: str, table: Table) -> str:
    """Its counters alone."""
    return document(name, *_counters(table))


def set_as_json(table: str, name: str, found: Set) -> str:
    """One set or map."""
    return document(table, _set_entry(name, found))


def document(table: str, *entries: Entry) -> str:
    """Objects of a table as libnftables lists them."""
    handles = count(1)
    listed: list[Json] = [_METAINFO]
    for kind, body in entries:
        place = {"family": "inet", "table": table} if kind != "table" else {}
        listed.append({kind: {**place, **body, "handle": next(handles)}})
    return json.dumps({"nftables": listed})


def _noted(comment: str | None) -> Json:
    return {"comment": comment} if comment is not None else {}


def _counters(table: Table) -> Iterator[Entry]:
    for name, comment in table.counters.items():
        yield "counter", {"name": name, **_noted(comment), **_NOTHING}


def _sets(table: Table) -> Iterator[Entry]:
    for name, found in table.sets.items():
        yield _set_entry(name, found)


def _set_entry(name: str, found: Set) -> Entry:
    types = list(found.type.types)
    body: Json = {"name": name, "type": types[0] if len(types) == 1 else types}
    if found.type.verdicts:
        body["map"] = "verdict"
    if found.size:
        body["size"] = found.size
    if found.type.interval:
        body["flags"] = ["interval"]
    if found.elements:
        body["elem"] = [_element_json(own, found.type.counted) for own in found.elements.values()]
    if found.type.counted:
        body["stmt"] = [{"counter": None}]
    return "map" if found.type.verdicts else "set", body


def _element_json(own: Element, counted: bool) -> Any:
    said: Json = {**({"counter": _NOTHING} if counted else {}), **_noted(own.comment)}
    key = {"elem": {"val": own.json, **said}} if said else own.json
    return key if own.verdict is None else [key, own.verdict.json]


def _chains(table: Table) -> Iterator[Entry]:
    """Chains, and then the rules of all of them."""
    for name, chain in table.chains.items():
        hook = chain.hook
        base: Json = {}
        if hook is not None:
            base = {"type": "filter", "hook": hook.name, "prio": hook.priority}
            base["policy"] = hook.policy
        yield "chain", {"name": name, **base}
    for name, chain in table.chains.items():
        for rule in chain.rules:
            said = {"expr": list(rule.statements), **_noted(rule.comment)}
            yield "rule", {"chain": name, **said}
