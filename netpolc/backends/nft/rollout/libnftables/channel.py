"""What is asked of libnftables, and its refusals: of the kernel, of the system, of itself.

Comes in: commands as nft reads them. Goes out: listings, None of what is not there. Every refusal
is a `SystemRefusal`. When libnftables dies (`session.Died`) the tables of others are named, which
are found without it: it may have died of one of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from netpolc.backends.nft.options import check_table
from netpolc.backends.nft.rollout.libnftables.session import Died, Reply, Session
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from netpolc.backends.nft.rollout.state.reading import LoadedTables
from netpolc.core.errors import SystemRefusal, listing, printable

_NO_PERMISSION = "no permission to read or change nf_tables: root (CAP_NET_ADMIN) is needed"
_CAP_NET_ADMIN = 12
_SHOWN = 8
_TRIED = 32
_OWN = re.compile(r"inet netpolc")
_PLAIN = re.compile(r"[a-z0-9]+ [-\w./]+", re.ASCII)


class Channel:
    """The nf_tables of the network namespace this object was made in; `generation` and `reading`
    can be asked without libnftables.

    Every method raises `SystemRefusal` when libnftables is not there, or the kernel says no.
    """

    def __init__(self) -> None:
        self._nft = Session()
        if not _may_change_networks():
            raise SystemRefusal(_NO_PERMISSION)
        self.generation = Generation()
        self.reading = LoadedTables(self.generation)

    def query(self, what: str, table: str, **switches: bool) -> str | None:
        """A listing of `what`, a part of a table; None when it is not there."""
        check_table(table)
        return _output(self._ask(f"list {what}", (), **switches))

    def whole(self, table: str) -> str | None:
        """A whole table as libnftables JSON; None when there is none."""
        return self.query(f"table inet {table}", table, json=True)

    def send(self, text: str, *, dry: bool = False, locks: Collection[int] = ()) -> None:
        """Let libnftables carry out a transaction, or only judge it."""
        answer = self._ask(text, locks, dry=dry)
        if answer.code != 0:
            raise _refusal(answer.error)

    def _ask(self, text: str, locks: Collection[int] = (), **switches: bool) -> Reply:
        try:
            return self._nft.ask(text, locks, **switches)
        except Died as error:
            raise Died(error.how, self._suspicion()) from error

    def _suspicion(self) -> str:
        """Whose tables libnftables died of, or may have died of, and what to do."""
        try:
            others = [own for own in self.generation.tables() if not _OWN.match(own)]
        except SystemRefusal as error:
            return f"which tables of others are there is not known: {error}"
        if not others:
            return "no table of others is there that it could have died of"
        if deadly := [own for own in others[:_TRIED] if self._dies_of(own)]:
            return (
                f"it dies of {listing(map(printable, deadly), _SHOWN)}, which a newer nft may have "
                "written: update nftables of this host, or have that deleted or made otherwise"
            )
        return (
            "it reads tables of others, too, and can die of what a newer nft wrote there; here are "
            f"{listing(map(printable, others), _SHOWN)}"
        )

    def _dies_of(self, table: str) -> bool:
        """Whether listing somebody's table, and no other, ends libnftables."""
        if not _PLAIN.fullmatch(table):
            return False
        try:
            self._nft.ask(f"list table {table}", stateless=True)
        except Died:
            return True
        return False


def program_of(process: int) -> str:
    """The name of a process."""
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:  # in another namespace, or the number is not that of a process
        return "unknown"


def _may_change_networks() -> bool:
    """Whether this process has CAP_NET_ADMIN; libnftables would print a message of its own."""
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_NET_ADMIN & 1)


def _output(answer: Reply) -> str | None:
    if answer.code == 0:
        return answer.output
    if "No such file or directory" in answer.error:
        return None
    raise _refusal(answer.error)


def _refusal(error: str) -> SystemRefusal:
    lines = [line for line in error.splitlines() if line.strip()]
    if any("Operation not permitted" in line for line in lines) and not _may_change_networks():
        return SystemRefusal(_NO_PERMISSION)
    return SystemRefusal("the kernel refused:\n" + "\n".join(lines[:6]))
