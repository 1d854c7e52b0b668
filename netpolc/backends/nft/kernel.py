"""The kernel: the only module that loads, reads or deletes a table, and the only importer of
`nftables`.

Comes in: rulesets. Goes out: what was done, or what is loaded. Every refusal, of the
kernel, of libnftables or of the system, is a `SystemRefusal`; a transaction is atomic, so the old
table is then still in force.

The binding `nftables` is part of the nftables project and comes with the distribution, not from
PyPI.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from netpolc.backends.nft import conntrack
from netpolc.backends.nft.counters import AddressCounter, Drops
from netpolc.backends.nft.diff import Delta, Objects, delta, index
from netpolc.backends.nft.generation import Generation
from netpolc.backends.nft.judge import AUDIT, DROP, SHORT, denied_set
from netpolc.backends.nft.options import Options, check_table
from netpolc.backends.nft.parse_listing import parse_listing
from netpolc.backends.nft.ruleset import DIGEST, GENERATION, LOADED, OPTIONS, Ruleset
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
_MARK = re.compile(r"0x[0-9a-f]{1,8}", re.ASCII)
_LOCK = Path("/run/netpolc.lock")


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
class Loaded:
    """A table of netpolc's in the kernel; `since` is empty if `netpolc apply` did not load it."""

    table: str
    digest: str
    options: Options
    since: str
    drops: tuple[Drops, ...]


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
    """What a table is made of, as of one generation of nf_tables."""

    generation: int
    objects: Objects


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

    def load(self, ruleset: Ruleset, now: datetime | None = None) -> None:
        """Replace the table in one transaction; concurrent loads wait for each other."""
        with lock():
            before = self._generation.read()
            own = self._marked(ruleset, None)
            text = own.text() + own.loaded_at(_moment(now))
            self._commit(own.table.name, text, index(own.objects()), before)

    def update(self, ruleset: Ruleset, now: datetime | None = None) -> Update:
        """Make the table what the ruleset says, by the smallest transaction; counters of chains
        that stay go on counting.

        What is loaded is remembered and believed for as long as nobody has changed anything in
        nf_tables, and read back otherwise. A table that cannot be read back, that would change in
        its base chain, or for which the delta is longer than the ruleset or refused, is replaced.
        """
        name = ruleset.table.name
        moment = _moment(now)
        with lock():
            before = self._generation.read()
            old = self._loaded_objects(name, before)
            ruleset = self._marked(ruleset, old)
            new = index(ruleset.objects())
            found = None if old is None else delta(name, old, new)
            if found is not None and len(found.text) < len(ruleset.text()):
                note = f"delete counter inet {name} {LOADED}\n{ruleset.loaded_at(moment)}"
                try:
                    if found:
                        self._commit(name, found.text + note, new, before)
                    return Update(found)
                except SystemRefusal:
                    pass  # the table is not what it seemed; what is wrong with the system, if
                    # anything, the replacement will meet again and say
            self._commit(name, ruleset.text() + ruleset.loaded_at(moment), new, before)
            return Update(None)

    def _marked(self, ruleset: Ruleset, old: Objects | None) -> Ruleset:
        """The ruleset of the loaded generation if `old` is just that; else of one that no open flow
        carries, so that every open flow is judged again.
        """
        options = ruleset.options
        if not options.recheck:
            return ruleset
        counters = self._counters(options.table) or {}
        loaded = counters.get(GENERATION, {}).get("comment", "")
        if old is not None and _MARK.fullmatch(loaded):
            same = ruleset.marked(int(loaded, 16))
            found = delta(options.table, old, index(same.objects()))
            if found is not None and not found:
                return same
        values = (own for own in ruleset.generations() if f"{own:#x}" != loaded)
        return ruleset.marked(conntrack.first_unused(values, options.mark_mask))

    def _loaded_objects(self, table: str, now: int) -> Objects | None:
        """What the table is made of, but for the moment it was loaded; None if netpolc cannot tell.

        The moment is left out because it differs between rulesets that do not.
        """
        known = self._known.pop(table, None)
        if known is not None and known.generation == now:
            self._known[table] = known
            return known.objects
        text = self._text_listing(table)
        if text is None:
            return None
        try:
            found = index(parse_listing(text, table))
        except RulesetError:
            return None  # not as netpolc makes tables: it will be replaced
        if found.pop(f"counter {LOADED}", None) is None:
            return None
        return found

    def _commit(self, table: str, text: str, objects: Objects, before: int) -> None:
        """Send a transaction and remember what it leaves, if it was the next one after `before`."""
        self._known.pop(table, None)
        self._run(text)
        if self._generation.read() == before + 1:
            self._known[table] = _Known(before + 1, objects)

    def check(self, ruleset: Ruleset) -> None:
        """Let the kernel judge the transaction without committing it."""
        self._nft.set_dry_run(True)
        try:
            self._run(ruleset.text())
        finally:
            self._nft.set_dry_run(False)

    def delete(self, table: str) -> bool:
        """Delete netpolc's table; False when there is none. Another's is refused."""
        with lock():
            if self.loaded(table) is None:
                return False
            self._run(f"delete table inet {table}\n")
            return True

    def loaded(self, table: str) -> Loaded | None:
        """What is loaded under this name; None when there is no such table."""
        counters = self._counters(table)
        return None if counters is None else _loaded(table, counters)

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

    def _counters(self, table: str) -> dict[str, Any] | None:
        output = self._list(f"counters table inet {table}", table)
        if output is None:
            return None
        entries = json.loads(output)["nftables"]
        return {own["counter"]["name"]: own["counter"] for own in entries if "counter" in own}

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


def _loaded(table: str, counters: dict[str, Any]) -> Loaded:
    try:
        digest = counters[DIGEST]["comment"]
        options = Options.from_description(table, counters[OPTIONS]["comment"])
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
    return Loaded(table, digest, options, counters.get(LOADED, {}).get("comment", ""), drops)


def _moment(now: datetime | None) -> str:
    return (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _refusal(error: str) -> SystemRefusal:
    lines = [line for line in error.splitlines() if line.strip()]
    if any("Operation not permitted" in line for line in lines):
        return SystemRefusal(_NO_PERMISSION)
    return SystemRefusal("the kernel refused:\n" + "\n".join(lines[:6]))


@contextmanager
def lock() -> Iterator[None]:
    """One writer at a time: a second `apply` waits and then replaces what the first one loaded."""
    try:
        with _LOCK.open("w") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise SystemRefusal(f"cannot lock {_LOCK}: {error.strerror}; root is needed") from error
