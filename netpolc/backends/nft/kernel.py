"""The kernel: the only module that loads, reads or deletes a table, and the only importer of
`nftables`.

Comes in: the text of a transaction. Goes out: nothing, or what is loaded. Every refusal, of the
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
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from netpolc.backends.nft import conntrack
from netpolc.backends.nft.options import Options, check_table
from netpolc.backends.nft.ruleset import DIGEST, GENERATION, LOADED, OPTIONS, Ruleset
from netpolc.errors import SystemRefusal

_INSTALL = (
    "the libnftables Python binding is missing: apt install python3-nftables (Debian, Ubuntu), "
    "dnf install python3-nftables (Fedora), apk add py3-nftables (Alpine)"
)
_NO_PERMISSION = "no permission to change nf_tables: root (CAP_NET_ADMIN) is needed"
_CAP_NET_ADMIN = 12
_PLACES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3*/site-packages")
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
class Loaded:
    """A table of netpolc's in the kernel; `since` is empty if `netpolc apply` did not load it."""

    table: str
    digest: str
    options: Options
    since: str
    drops: tuple[Drops, ...]


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

    def load(self, ruleset: Ruleset, now: datetime | None = None) -> None:
        """Replace the table in one transaction; concurrent loads wait for each other."""
        moment = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
        with lock():
            own = self._of_fresh_generation(ruleset) if ruleset.options.recheck else ruleset
            self._run(own.text() + own.loaded_at(moment))

    def _of_fresh_generation(self, ruleset: Ruleset) -> Ruleset:
        """A ruleset whose generation neither the loaded table gives nor any open flow carries.

        So every open flow is judged again, whatever was loaded before.
        """
        counters = self._counters(ruleset.options.table) or {}
        loaded = counters.get(GENERATION, {}).get("comment", "")
        values = (own for own in ruleset.generations() if f"{own:#x}" != loaded)
        return ruleset.marked(conntrack.first_unused(values, ruleset.options.mark_mask))

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

    def listing(self, table: str) -> str | None:
        """The whole table as libnftables JSON; None when there is no such table."""
        return self._list(f"table inet {table}", table)

    def _counters(self, table: str) -> dict[str, Any] | None:
        output = self._list(f"counters table inet {table}", table)
        if output is None:
            return None
        entries = json.loads(output)["nftables"]
        return {own["counter"]["name"]: own["counter"] for own in entries if "counter" in own}

    def _list(self, what: str, table: str) -> str | None:
        check_table(table)
        self._nft.set_json_output(True)
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


def _loaded(table: str, counters: dict[str, Any]) -> Loaded:
    try:
        digest = counters[DIGEST]["comment"]
        options = Options.from_description(table, counters[OPTIONS]["comment"])
    except (KeyError, ValueError) as error:
        raise SystemRefusal(f"table inet {table} was not made by netpolc: {error}") from error
    drops = tuple(
        Drops(name.removeprefix("drop_"), own["packets"], own["bytes"], own.get("comment", ""))
        for name, own in sorted(counters.items())
        if name.startswith("drop_")
    )
    return Loaded(table, digest, options, counters.get(LOADED, {}).get("comment", ""), drops)


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
