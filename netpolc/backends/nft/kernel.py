"""The kernel: the only module that loads, reads or deletes a table, and the only importer of
`nftables`.

Comes in: rulesets. Goes out: what was done, or what is loaded. Every refusal, of the
kernel, of libnftables or of the system, is a `SystemRefusal`; a transaction is atomic, so the old
table is then still in force.

The binding `nftables` is part of the nftables project and comes with the distribution, not from
PyPI.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from netpolc.backends.nft import conntrack, runtime
from netpolc.backends.nft.counters import AddressCounter, Drops
from netpolc.backends.nft.diff import Delta, Objects, delta, index
from netpolc.backends.nft.drift import Drift
from netpolc.backends.nft.generation import Generation
from netpolc.backends.nft.judge import AUDIT, DROP, SHORT, denied_set
from netpolc.backends.nft.options import Options, check_table
from netpolc.backends.nft.parse_listing import parse_listing
from netpolc.backends.nft.ruleset import (
    DIGEST,
    GENERATION,
    LOADED,
    OPTIONS,
    UNCONFIRMED,
    Ruleset,
    digest_of,
)
from netpolc.errors import RulesetError, SystemRefusal
from netpolc.ir import Direction
from netpolc.nets import Family, parse_address

_INSTALL = (
    "the libnftables Python binding is missing: apt install python3-nftables (Debian, Ubuntu), "
    "dnf install python3-nftables (Fedora), apk add py3-nftables (Alpine)"
)
_NO_PERMISSION = "no permission to change nf_tables: root (CAP_NET_ADMIN) is needed"
_CAP_NET_ADMIN = 12
_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3*/site-packages")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_UNCONFIRMED = re.compile(r"(?P<token>[0-9a-f]{16}) until (?P<until>[-0-9T:]{19}Z)", re.ASCII)
_GENERATION = re.compile(r'comment "(0x[1-9a-f][0-9a-f]{0,7})"', re.ASCII)


def _binding() -> ModuleType:
    """The `nftables` module, of this interpreter or of the distribution (it is pure Python)."""
    try:
        return importlib.import_module("nftables")
    except ImportError:
        pass
    for pattern in _PLACES:
        for place in sorted(Path("/").glob(pattern.removeprefix("/"))):
            init = place / "nftables" / "__init__.py"
            spec = importlib.util.spec_from_file_location(
                "nftables", init, submodule_search_locations=[str(init.parent)]
            )
            if init.is_file() and spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                sys.modules["nftables"] = module
                spec.loader.exec_module(module)
                return module
    raise SystemRefusal(_INSTALL)


def _may_change_networks() -> bool:
    """Whether this process has CAP_NET_ADMIN; libnftables would print a message of its own."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_NET_ADMIN & 1)


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A rollout that is undone at a moment (UTC) unless it is confirmed; the token names it."""

    token: str
    until: str

    @classmethod
    def after(cls, token: str, seconds: int) -> Unconfirmed:
        """One that has so many seconds from now."""
        return cls(token, (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(_MOMENT))

    def note(self) -> str:
        """As the comment of a counter carries it."""
        return f"{self.token} until {self.until}"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A table of netpolc's in the kernel; `since` is empty if `netpolc apply` did not load it."""

    table: str
    digest: str
    options: Options
    since: str
    drops: tuple[Drops, ...]
    unconfirmed: Unconfirmed | None


def drifted(
    loaded: Loaded | None, content: str | None, expected: str | None = None
) -> tuple[Drift, ...]:
    """What is wrong with a table whose content `Kernel.content` gave, and if it should have this
    digest.
    """
    if loaded is None or content is None:
        return (Drift.MISSING,)
    modified = content != loaded.digest
    stale = expected is not None and loaded.digest != expected
    return (*([Drift.MODIFIED] if modified else ()), *([Drift.STALE] if stale else ()))


@dataclass(frozen=True, slots=True)
class Update:
    """What `Kernel.update` did: replaced the table, or sent a delta, which may be empty."""

    delta: Delta | None

    @property
    def replaced(self) -> bool:
        """Whether the whole table was replaced."""
        return self.delta is None


@dataclass(frozen=True, slots=True)
class _Known:
    """What a table is made of as of one generation of nf_tables, and whether it is unconfirmed."""

    generation: int
    objects: Objects
    waits: bool


class Kernel:
    """The nf_tables of the network namespace this process is in.

    Raises `SystemRefusal` when libnftables is not there, and from every method when the kernel says
    no.
    """

    def __init__(self) -> None:
        try:
            self._nft: Any = _binding().Nftables()
        except OSError as error:
            raise SystemRefusal(f"{_INSTALL}; loading libnftables failed: {error}") from error
        if not _may_change_networks():
            raise SystemRefusal(_NO_PERMISSION)
        self._generation = Generation()
        self._known: dict[str, _Known] = {}
        self._held: set[str] = set()

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """One writer at a time; whoever holds it may call every method in the meantime."""
        check_table(table)
        if table in self._held:
            yield
            return
        with runtime.lock(table):
            self._held.add(table)
            try:
                yield
            finally:
                self._held.discard(table)

    def load(self, ruleset: Ruleset, now: datetime | None = None) -> None:
        """Replace the table in one transaction; concurrent loads wait for each other."""
        with self.locked(ruleset.options.table):
            before = self._generation.read()
            own = self._marked(ruleset, None)
            text = own.text() + own.loaded_at(_moment(now))
            self._commit(own.options.table, text, index(own.objects()), before, False)

    def update(
        self,
        ruleset: Ruleset,
        now: datetime | None = None,
        unconfirmed: Unconfirmed | None = None,
    ) -> Update:
        """Make the table what the ruleset says, by the smallest transaction; counters of chains
        that stay go on counting.

        What is loaded is remembered and believed for as long as nobody has changed anything in
        nf_tables, and read back otherwise. A table that cannot be read back, that would change in
        its base chain, or for which the delta is longer than the ruleset or refused, is replaced.
        An `unconfirmed` table says so from its first moment on; one that waited to be confirmed
        does not any more.
        """
        notes, waits = ruleset.loaded_at(_moment(now)), unconfirmed is not None
        if unconfirmed is not None:
            notes += ruleset.waiting(unconfirmed.note())
        name = ruleset.options.table
        with self.locked(name):
            before = self._generation.read()
            old = self._loaded_objects(name, before)
            ruleset = self._marked(ruleset, old)
            new = index(ruleset.objects())
            found = None if old is None else delta(name, old.objects, new)
            if old is not None and found is not None and found.lines < ruleset.lines:
                if not found and not old.waits and not waits:
                    return Update(found)
                gone = (LOADED, UNCONFIRMED) if old.waits else (LOADED,)
                text = found.text + "".join(f"delete counter inet {name} {own}\n" for own in gone)
                try:
                    self._commit(name, text + notes, new, before, waits)
                    return Update(found)
                except SystemRefusal:
                    pass  # the table is not what it seemed; what is wrong with the system, if
                    # anything, the replacement will meet again and say
            self._commit(name, ruleset.text() + notes, new, before, waits)
            return Update(None)

    def _marked(self, ruleset: Ruleset, old: _Known | None) -> Ruleset:
        """The ruleset in the generation that is loaded if `old` is just that, else in one that no
        open flow carries, so that every open flow is judged again.
        """
        table = ruleset.options.table
        if not ruleset.options.recheck:
            return ruleset
        loaded = self._loaded_generation(table, old)
        if old is not None and loaded:
            same = ruleset.marked(loaded)
            found = delta(table, old.objects, index(same.objects()))
            if found is not None and not found:
                return same
        values = (own for own in ruleset.generations() if own != loaded)
        return ruleset.marked(conntrack.first_unused(values, ruleset.options.mark_mask))

    def _loaded_generation(self, table: str, old: _Known | None) -> int:
        """What flows that the loaded table judged carry in their mark; 0 if it marks none."""
        if old is not None:
            entry = old.objects.get(f"counter {GENERATION}")
            note = entry.head[0] if entry is not None and entry.head else ""
        else:
            listing = self._list(f"counters table inet {table}", table)
            counters = _counters(listing) if listing is not None else {}
            note = f'comment "{counters.get(GENERATION, {}).get("comment", "")}"'
        found = _GENERATION.fullmatch(note)
        return int(found[1], 16) if found is not None else 0

    def _loaded_objects(self, table: str, now: int) -> _Known | None:
        """What the table is made of, but for its notes; None if netpolc cannot tell."""
        known = self._known.pop(table, None)
        if known is not None and known.generation == now:
            self._known[table] = known
            return known
        text = self._text_listing(table)
        if text is None:
            return None
        try:
            found = index(parse_listing(text, table))
        except RulesetError:
            return None  # not as netpolc makes tables: it will be replaced
        if found.pop(f"counter {LOADED}", None) is None:
            return None
        waits = found.pop(f"counter {UNCONFIRMED}", None) is not None
        return _Known(now, found, waits)

    def _commit(self, table: str, text: str, objects: Objects, before: int, waits: bool) -> None:
        """Send a transaction and remember what it leaves, if it was the next one after `before`."""
        self._known.pop(table, None)
        self._run(text)
        if self._generation.read() == before + 1:
            self._known[table] = _Known(before + 1, objects, waits)

    def saved(self, table: str) -> str:
        """A transaction as text that brings back exactly what is there now, counters included.

        When nothing is there it deletes the table. Whoever saves an unconfirmed table means it:
        what comes back is confirmed.
        """
        head = f"table inet {table}\ndelete table inet {table}\n"
        listing = self._query(f"table inet {table}", table)
        if listing is None:
            return head
        waiting = f"\tcounter {UNCONFIRMED} {{\n" in listing
        confirm = f"delete counter inet {table} {UNCONFIRMED}\n" if waiting else ""
        return head + listing + confirm

    def restore(self, text: str) -> None:
        """Bring back what `saved` gave, in one transaction."""
        self._run(text)

    def unconfirmed(self, table: str) -> Unconfirmed | None:
        """The rollout that waits to be confirmed, if one does."""
        output = self._list(f"counters table inet {table}", table)
        return _unconfirmed(_counters(output)) if output is not None else None

    def confirm(self, table: str, token: str | None = None) -> bool:
        """Keep the table that waits to be confirmed (the one with that token); False if none."""
        with self.locked(table):
            waiting = self.unconfirmed(table)
            if waiting is None or token not in (None, waiting.token):
                return False
            self._run(f"delete counter inet {table} {UNCONFIRMED}\n")
            runtime.kept(waiting.token).unlink(missing_ok=True)
            return True

    def check(self, ruleset: Ruleset) -> None:
        """Let the kernel judge the transaction without committing it."""
        self._nft.set_dry_run(True)
        try:
            self._run(ruleset.text())
        finally:
            self._nft.set_dry_run(False)

    def delete(self, table: str) -> bool:
        """Delete netpolc's table; False when there is none. Another's is refused."""
        with self.locked(table):
            if self.loaded(table) is None:
                return False
            self._run(f"delete table inet {table}\n")
            return True

    def loaded(self, table: str) -> Loaded | None:
        """What is loaded under this name; None when there is no such table."""
        output = self._list(f"counters table inet {table}", table)
        return _loaded(table, output) if output is not None else None

    def content(self, table: str) -> str | None:
        """The digest of what a table holds now, whatever it says of itself.

        None when there is no such table, empty when it holds what netpolc never makes.
        """
        text = self._text_listing(table)
        if text is None:
            return None
        try:
            return digest_of(parse_listing(text, table))
        except RulesetError:
            return ""

    def addresses(self, table: str) -> tuple[AddressCounter, ...]:
        """What was counted for each local address that is judged, in each direction."""
        found: list[AddressCounter] = []
        for direction, version in product(Direction, Family):
            judged = self._elements(table, "map", f"{SHORT[direction]}{version.value}")
            counts = {
                own["elem"]["val"]: own["elem"]["counter"]
                for own in self._elements(table, "set", denied_set(direction, version))
            }
            for address, verdict in judged:
                chain = next(iter(verdict.values()))["target"]
                if address not in counts:
                    raise SystemRefusal(f"table inet {table} does not count {address}: reload it")
                own, line = counts[address], parse_address(address)
                found.append(
                    AddressCounter(str(direction), line, chain, own["packets"], own["bytes"])
                )
        return tuple(found)

    def _elements(self, table: str, kind: str, name: str) -> list[Any]:
        """The elements of a set or map; none when it is not there."""
        output = self._list(f"{kind} inet {table} {name}", table)
        entries = json.loads(output)["nftables"] if output is not None else []
        return [own for entry in entries if kind in entry for own in entry[kind].get("elem", [])]

    def listing(self, table: str) -> str | None:
        """The whole table as libnftables JSON; None when there is no such table."""
        return self._list(f"table inet {table}", table)

    def _text_listing(self, table: str) -> str | None:
        """The whole table as nft prints it, without what counters count."""
        self._nft.set_stateless_output(True)
        self._nft.set_numeric_prio_output(True)
        try:
            return self._query(f"table inet {table}", table)
        finally:
            self._nft.set_stateless_output(False)
            self._nft.set_numeric_prio_output(False)

    def _list(self, what: str, table: str) -> str | None:
        self._nft.set_json_output(True)
        try:
            return self._query(what, table)
        finally:
            self._nft.set_json_output(False)

    def _query(self, what: str, table: str) -> str | None:
        check_table(table)
        code, output, error = self._nft.cmd(f"list {what}")
        if code == 0:
            return str(output)
        if "No such file or directory" in error:
            return None
        raise _refusal(error)

    def _run(self, text: str) -> None:
        code, _, error = self._nft.cmd(text)
        if code != 0:
            raise _refusal(error)


def _counters(listing: str) -> dict[str, Any]:
    entries = json.loads(listing)["nftables"]
    return {own["counter"]["name"]: own["counter"] for own in entries if "counter" in own}


def _unconfirmed(counters: dict[str, Any]) -> Unconfirmed | None:
    note = _UNCONFIRMED.fullmatch(counters.get(UNCONFIRMED, {}).get("comment", ""))
    return Unconfirmed(note["token"], note["until"]) if note is not None else None


def _loaded(table: str, listing: str) -> Loaded:
    counters = _counters(listing)
    comments = {name: own.get("comment", "") for name, own in counters.items()}
    try:
        digest = comments[DIGEST]
        options = Options.from_description(table, comments[OPTIONS])
    except (KeyError, ValueError) as error:
        raise SystemRefusal(f"table inet {table} was not made by netpolc: {error}") from error
    drops = tuple(
        Drops(
            name.removeprefix(kind),
            own["packets"],
            own["bytes"],
            own.get("comment", ""),
            kind == AUDIT,
        )
        for kind in (DROP, AUDIT)
        for name, own in sorted(counters.items())
        if name.startswith(kind)
    )
    return Loaded(
        table,
        digest,
        options,
        comments.get(LOADED, ""),
        drops,
        _unconfirmed(counters),
    )


def _moment(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).strftime(_MOMENT)


def _refusal(error: str) -> SystemRefusal:
    lines = [line for line in error.splitlines() if line.strip()]
    if any("Operation not permitted" in line for line in lines):
        return SystemRefusal(_NO_PERMISSION)
    return SystemRefusal("the kernel refused:\n" + "\n".join(lines[:6]))
