"""Where tables are loaded and changed: the kernel of this machine, and one in memory.

A place has one `Kernel` that goes from ruleset to ruleset and one that loads each afresh, and says
what becomes of packets: by sending them, or by walking them through what is listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any, Protocol

import pytest

from netpolc.backends.nft import MARK_MASK
from netpolc.backends.nft.readback import parse_json
from netpolc.backends.nft.readback.tracer import Tracer, packet
from netpolc.backends.nft.rollout.kernel import Kernel, Update
from netpolc.backends.nft.rollout.loader import Via
from netpolc.backends.nft.rollout.netfilter import conntrack
from netpolc.backends.nft.write.ruleset import Ruleset
from netpolc.core.nets import parse_address
from tests.helpers.fake_nftables import FakeKernel, FakeNftables
from tests.helpers.fake_nftables.tables import Table
from tests.helpers.lab import Injector, Router

TABLE = "netpolc"
_MARK, _LOADED = "meta_generation", "meta_loaded"
Packet = tuple[str, str, int, int | None]


class Place(Protocol):
    """What a test needs of one."""

    fresh: Kernel
    """The kernel of the namespace in which every ruleset is loaded afresh."""

    def begin(self) -> None:
        """Empty the namespace that is updated."""

    def kernel(self) -> Kernel:
        """What a new process knows of it."""

    def load(self, text: str) -> None:
        """Run commands of somebody else there."""

    def update(self, kernel: Kernel, ruleset: Ruleset, stable: dict[Packet, bool]) -> Update:
        """Update it while packets pass, whose verdicts must be the same all the time; nothing that
        is sent may be refused, though `Kernel.update` would get over it.
        """

    def judge(self, packets: Sequence[Packet]) -> list[bool]:
        """Whether each packet passes."""

    def mark(self, kernel: Kernel) -> str | None:
        """What flows carry that the loaded table judged; None where it rechecks nothing."""

    def contents(self, kernel: Kernel) -> dict[str, Any]:
        """What is listed: every object by name, rules in order, elements without one, all of one
        generation.
        """


class RealPlace:
    """Two namespaces, and packets that pass the first. What is loaded afresh comes as text, through
    libnftables.
    """

    def __init__(self, injector: Injector, fresh: Router) -> None:
        self._injector = injector
        self.fresh = fresh.call(lambda: Kernel(via=Via.NFT))

    def begin(self) -> None:
        """Empty it."""
        self._injector.flush()

    def kernel(self) -> Kernel:
        """A new one."""
        return self._injector.router.call(Kernel)

    def load(self, text: str) -> None:
        """By libnftables."""
        self._injector.load(text)

    def update(self, kernel: Kernel, ruleset: Ruleset, stable: dict[Packet, bool]) -> Update:
        """Packets are sent until it is done, and once more."""
        planned = kernel.preview(ruleset)
        done: list[Update] = []
        thread = Thread(target=lambda: done.append(kernel.update(ruleset)))
        thread.start()
        while True:
            last = not thread.is_alive()
            assert self._injector.judge(list(stable)) == list(stable.values())
            if last:
                assert done[0].replaced is (planned.delta is None)
                return done[0]

    def judge(self, packets: Sequence[Packet]) -> list[bool]:
        """By sending them."""
        return self._injector.judge(packets)

    def mark(self, kernel: Kernel) -> str | None:
        """From the listing."""
        entries = json.loads(kernel.tables.listing(TABLE) or '{"nftables": []}')["nftables"]
        counters = (entry["counter"] for entry in entries if "counter" in entry)
        return next((own["comment"] for own in counters if own["name"] == _MARK), None)

    def contents(self, kernel: Kernel) -> dict[str, Any]:
        """From the listing."""
        found: dict[str, Any] = {}
        listing = kernel.tables.listing(TABLE) or '{"nftables": []}'
        mark = self.mark(kernel)
        if mark is not None:
            value = int(mark, 16)
            for number in (value, ~MARK_MASK & 0xFFFFFFFF | value):
                listing = re.sub(rf"\b{number}\b", "0", listing)
            listing = listing.replace(mark, "generation")
        for entry in json.loads(listing)["nftables"]:
            ((kind, body),) = entry.items()
            body = {key: body[key] for key in body if key not in ("handle", "packets", "bytes")}
            if kind == "rule":
                found.setdefault(f"rules of {body['chain']}", []).append(body)
            elif body.get("name") == _LOADED:
                found["loaded"] = True
            elif kind != "metainfo":
                if "elem" in body:
                    body["elem"] = sorted(map(_uncounted, body["elem"]))
                found[f"{kind} {body['name']}"] = body
        return found


def _uncounted(element: Any) -> str:
    """An element as text, without what it has counted."""
    if isinstance(element, dict) and "counter" in element.get("elem", ()):
        element = {"elem": {**element["elem"], "counter": None}}
    return json.dumps(element)


class FakePlace:
    """Two fakes, and a tracer; a transaction is over before anything could pass."""

    def __init__(self) -> None:
        self._updated, self._fresh = FakeNftables(), FakeNftables()
        self.fresh: Kernel = FakeKernel(self._fresh)

    def begin(self) -> None:
        """Start with a new one."""
        self._updated = FakeNftables()

    def kernel(self) -> FakeKernel:
        """Another, of the same tables."""
        return FakeKernel(self._updated)

    def load(self, text: str) -> None:
        """As somebody else's transaction."""
        self._updated.run(text)

    def update(self, kernel: Kernel, ruleset: Ruleset, stable: dict[Packet, bool]) -> Update:
        """No packet can pass meanwhile."""
        done = kernel.update(ruleset)
        assert not self._updated.refusals
        return done

    def judge(self, packets: Sequence[Packet]) -> list[bool]:
        """By walking them through the listing."""
        if not packets:
            return []
        listed = self.kernel().tables.listing(TABLE)
        assert listed is not None
        tracer = Tracer(parse_json.parse(listed))
        return [
            tracer.trace(packet(parse_address(source), parse_address(to), protocol, port)).passed
            for source, to, protocol, port in packets
        ]

    def mark(self, kernel: Kernel) -> str | None:
        """From the comment of a counter."""
        table = self._tables(kernel).get(TABLE)
        return table.counters.get(_MARK) if table is not None else None

    def contents(self, kernel: Kernel) -> dict[str, Any]:
        """From the table itself: to list it would take longer than to load it."""
        table = self._tables(kernel)[TABLE]
        found: dict[str, Any] = {"table": (table.comment, table.dormant)}
        marks: tuple[str, ...] = ()
        if (mark := self.mark(kernel)) is not None:
            value = int(mark, 16)
            marks = (mark, f"0x{~MARK_MASK & 0xFFFFFFFF | value:08x}", f"0x{value:08x}")
        for name, comment in table.counters.items():
            found[f"counter {name}"] = comment if name not in (_MARK, _LOADED) else None
        for name, own in table.sets.items():
            elements = {(at.ranges, at.verdict, at.comment) for at in own.elements.values()}
            found[f"set {name}"] = (own.type, own.declared, own.size, elements)
        for name, chain in table.chains.items():
            words = "\n".join(rule.words for rule in chain.rules)
            for mark in marks:
                words = words.replace(mark, "generation")
            found[f"chain {name}"] = (chain.hook, words)
        return found

    def _tables(self, kernel: Kernel) -> dict[str, Table]:
        return (self._fresh if kernel is self.fresh else self._updated).tables


@contextmanager
def no_open_flows() -> Iterator[None]:
    """The connection table of this machine is no business of a fake: nothing is open."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conntrack, "first_unused", lambda values, mask: next(iter(values)))
        yield
