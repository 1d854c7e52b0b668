"""The kernel: the only module that loads, reads or deletes a table, and the only importer of
`nftables`.

Comes in: the text of a transaction. Goes out: nothing, or what is loaded. Every refusal, of the
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
from pathlib import Path
from types import ModuleType
from typing import Any

from netpolc.backends.nft import runtime
from netpolc.backends.nft.drift import Drift, fingerprint
from netpolc.backends.nft.options import Options, check_table
from netpolc.backends.nft.ruleset import DIGEST, LOADED, OPTIONS, SEAL, UNCONFIRMED, Ruleset
from netpolc.errors import SystemRefusal

_INSTALL = (
    "the libnftables Python binding is missing: apt install python3-nftables (Debian, Ubuntu), "
    "dnf install python3-nftables (Fedora), apk add py3-nftables (Alpine)"
)
_NO_PERMISSION = "no permission to change nf_tables: root (CAP_NET_ADMIN) is needed"
_CAP_NET_ADMIN = 12
_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3*/site-packages")
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
_UNCONFIRMED = re.compile(r"(?P<token>[0-9a-f]{16}) until (?P<until>[-0-9T:]{19}Z)", re.ASCII)


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
class Drops:
    """What one chain denied since it was loaded; `policies` names those that isolate its pods."""

    chain: str
    packets: int
    bytes: int
    policies: str

    @property
    def direction(self) -> str:
        """The direction the chain judges, by the first letter of its name."""
        return "ingress" if self.chain.startswith("i") else "egress"


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
    """A table of netpolc's in the kernel.

    `since` and `seal` (the fingerprint of what was loaded) are empty if `netpolc apply` did not
    load it.
    """

    table: str
    digest: str
    options: Options
    since: str
    drops: tuple[Drops, ...]
    seal: str
    unconfirmed: Unconfirmed | None


def drifted(found: tuple[Loaded, str] | None, expected: str | None = None) -> tuple[Drift, ...]:
    """What is wrong with what `Kernel.present` gave, and if it should have this digest.

    A table that has a moment and no seal was interrupted between its load and its seal, or somebody
    took it off: what cannot be known counts as modified.
    """
    if found is None:
        return (Drift.MISSING,)
    (loaded, listing), drift = found, []
    if (loaded.seal or loaded.since) and loaded.seal != fingerprint(listing):
        drift.append(Drift.MODIFIED)
    if expected is not None and loaded.digest != expected:
        drift.append(Drift.STALE)
    return tuple(drift)


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

    def load(
        self,
        ruleset: Ruleset,
        now: datetime | None = None,
        unconfirmed: Unconfirmed | None = None,
    ) -> None:
        """Replace the table in one transaction and seal it; concurrent loads wait for each other.

        An `unconfirmed` table says so from its first moment on.
        """
        moment = (now or datetime.now(UTC)).strftime(_MOMENT)
        waiting = ruleset.waiting(unconfirmed.note()) if unconfirmed is not None else ""
        with self.locked(ruleset.options.table):
            self._run(ruleset.text() + ruleset.loaded_at(moment) + waiting)
            self.seal(ruleset.options.table)

    def seal(self, table: str) -> None:
        """Note in a table, which has no seal, the fingerprint of what the kernel lists now."""
        listing = self.listing(table)
        if listing is None:
            raise SystemRefusal(f"table inet {table} was deleted right after it was loaded")
        self._run(f'add counter inet {table} {SEAL} {{ comment "{fingerprint(listing)}" ; }}\n')

    def saved(self, table: str) -> str:
        """A transaction as text that brings back exactly what is there now, counters included.

        When nothing is there it deletes the table. Whoever saves an unconfirmed table means it:
        what comes back is confirmed.
        """
        head = f"table inet {table}\ndelete table inet {table}\n"
        listing = self._list(f"table inet {table}", table, as_json=False)
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

    def present(self, table: str) -> tuple[Loaded, str] | None:
        """What is loaded, and the whole table as libnftables JSON, both of one moment."""
        output = self.listing(table)
        if output is None:
            return None
        if not (loaded := _loaded(table, output)).seal:
            with self.locked(table):  # it may be loading right now: then its seal is about to come
                if (output := self.listing(table)) is None:
                    return None
                loaded = _loaded(table, output)
        return loaded, output

    def listing(self, table: str) -> str | None:
        """The whole table as libnftables JSON; None when there is no such table."""
        return self._list(f"table inet {table}", table)

    def _list(self, what: str, table: str, *, as_json: bool = True) -> str | None:
        check_table(table)
        self._nft.set_json_output(as_json)
        try:
            code, output, error = self._nft.cmd(f"list {what}")
        finally:
            self._nft.set_json_output(False)
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
        Drops(name.removeprefix("drop_"), own["packets"], own["bytes"], own.get("comment", ""))
        for name, own in sorted(counters.items())
        if name.startswith("drop_")
    )
    return Loaded(
        table,
        digest,
        options,
        comments.get(LOADED, ""),
        drops,
        comments.get(SEAL, ""),
        _unconfirmed(counters),
    )


def _refusal(error: str) -> SystemRefusal:
    lines = [line for line in error.splitlines() if line.strip()]
    if any("Operation not permitted" in line for line in lines):
        return SystemRefusal(_NO_PERMISSION)
    return SystemRefusal("the kernel refused:\n" + "\n".join(lines[:6]))
