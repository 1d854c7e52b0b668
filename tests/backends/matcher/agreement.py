"""Every way to ask a matcher, asked the same flows, against `semantics.evaluate`.

In: a program and flows. Out: nothing, or an `AssertionError` that names the way and the flows.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow
from numpy.typing import NDArray

import netpolc
from netpolc.backends.matcher import Matcher, directions, tables
from netpolc.backends.matcher._core import simd_levels
from netpolc.core.ir import ANY
from netpolc.core.nets import IPV6, PORTS, Family, family, format_address, split_ports

Row = tuple[str, str, str | int, int | None]


@contextmanager
def simd(level: str) -> Iterator[None]:
    """Matchers made inside judge columns with this code."""
    with mock.patch.dict(os.environ, NETPOLC_SIMD=level):
        yield


def levels() -> list[str]:
    return list(simd_levels())


def factored(program: netpolc.Program) -> Matcher:
    """A matcher in the factored form, however small."""
    with mock.patch.object(tables.build_tables, "__defaults__", (0,)):
        return Matcher(program)


def united(program: netpolc.Program) -> Matcher:
    """A matcher whose rows are made as those of many overlapping peers are, however few."""
    with mock.patch.object(directions, "SPLITS", 0):
        return Matcher(program)


def reopened(matcher: Matcher) -> Matcher:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "matcher"
        matcher.save(path)
        return Matcher.open(path)


def pickled(matcher: Matcher) -> Matcher:
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(matcher, protocol=5, buffer_callback=buffers.append)
    copied = pickle.loads(data, buffers=buffers)
    assert isinstance(copied, Matcher)
    return copied


def variants(program: netpolc.Program) -> dict[str, Matcher]:
    """A matcher of each form for each kind of processor, and some that went away and came back."""
    found: dict[str, Matcher] = {}
    for level in levels():
        with simd(level):
            found[level] = Matcher(program)
            found[f"{level}, factored"] = factored(program)
    found["united"] = united(program)
    found["reopened"] = reopened(found["scalar"])
    found["reopened, factored"] = reopened(found["scalar, factored"])
    found["pickled"] = pickled(found["scalar"])
    return found


def check(program: netpolc.Program, rows: Sequence[Row], wanted: Sequence[bool]) -> None:
    """Every variant, asked one by one and by the column, says what is wanted."""
    codes = [int(allowed) for allowed in wanted]
    for name, matcher in variants(program).items():
        single = [int(matcher.verdict(*row)) for row in rows]
        assert single == codes, (name, "single", differing(rows, single, codes))
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], [], []]
        listed = matcher.verdicts(*columns).tolist()
        assert listed == codes, (name, "lists", differing(rows, listed, codes))
        arrow = matcher.verdicts_arrow(as_arrow(rows)).tolist()
        assert arrow == codes, (name, "Arrow", differing(rows, arrow, codes))
        for version in (4, 6):
            chosen = [i for i, row in enumerate(rows) if version == (6 if ":" in row[0] else 4)]
            some = [rows[i] for i in chosen]
            found = matcher.verdicts(*packed(some, version)).tolist()
            own = [codes[i] for i in chosen]
            assert found == own, (name, f"IPv{version}", differing(some, found, own))


def as_arrow(rows: Sequence[Row]) -> pyarrow.RecordBatch:
    """The rows as Arrow columns: addresses as text, one of them as a dictionary."""
    sources, destinations, protocols, ports = zip(*rows, strict=True) if rows else ((),) * 4
    return pyarrow.record_batch(
        {
            "src": pyarrow.array(sources, pyarrow.string()).dictionary_encode(),
            "dst": pyarrow.array(destinations, pyarrow.string()),
            "protocol": pyarrow.array(list(map(number, protocols)), pyarrow.uint8()),
            "port": pyarrow.array([port or 0 for port in ports], pyarrow.uint16()),
        }
    )


def number(protocol: str | int) -> int:
    """The number of a protocol that may be given by name."""
    return netpolc.core.nets.Protocol[protocol] if isinstance(protocol, str) else protocol


def packed(rows: Sequence[Row], version: int) -> tuple[NDArray[np.generic], ...]:
    """The rows of one family as NumPy columns."""
    protocols = [number(protocol) for _, _, protocol, _ in rows]
    ports = np.array([port or 0 for *_, port in rows], dtype=np.uint16)
    ends: list[NDArray[np.generic]] = []
    for end in (0, 1):
        numbers = [int(ip_address(row[:2][end])) for row in rows]
        if version == 4:
            ends.append(np.array(numbers, dtype=np.uint32))
        else:
            data = b"".join(number.to_bytes(16, "big") for number in numbers)
            ends.append(np.frombuffer(data, dtype=np.uint8).reshape(len(rows), 16))
    return (*ends, np.array(protocols, dtype=np.uint8), ports)


def differing(rows: Sequence[Row], found: Sequence[int], wanted: Sequence[int]) -> Sequence[object]:
    return [
        (row, "found", f, "wanted", w)
        for row, f, w in zip(rows, found, wanted, strict=True)
        if f != w
    ][:5]


def evaluated(program: netpolc.Program, rows: Iterable[Row]) -> list[bool]:
    return [netpolc.evaluate(program, netpolc.Flow(*row)).allowed for row in rows]


def telling_addresses(program: netpolc.Program) -> list[int]:
    """Pods, nodes, and the edges of every network with their neighbours."""
    found = {0x01020304, IPV6 + 5, *program.pods_by_address}
    for pod in program.cluster.pods:
        found |= program.cluster.node_addresses(pod)
    for match in matches(program):
        if match.networks is not ANY:
            for first, last in match.networks:
                found |= {first - 1, first, last, last + 1}
    mapped = range(IPV6 + (0xFFFF << 32), IPV6 + (0x10000 << 32))
    return sorted(
        a for a in found if (0 <= a < 1 << 32 or IPV6 <= a < 2 * IPV6) and a not in mapped
    )


def telling_services(program: netpolc.Program) -> list[tuple[str | int, int | None]]:
    """The edges of every port range with their neighbours, and protocols without ports."""
    found: set[tuple[str | int, int | None]] = {(1, None), (58, None), (47, None), ("TCP", 80)}
    for match in matches(program):
        if match.ports is not ANY:
            for span in match.ports:
                protocol, first, last = split_ports(span)
                near = (first - 1, first, last, last + 1)
                found |= {(protocol.name, port) for port in near if 0 <= port < PORTS}
                found |= {(other, first) for other in ("TCP", "UDP", "SCTP")}
    return sorted(found, key=str)


def matches(program: netpolc.Program) -> Iterator[netpolc.core.program.Match]:
    for combination in program.combinations:
        for tier in combination.tiers:
            for rule in tier.rules:
                yield rule.match


def telling_rows(program: netpolc.Program) -> Iterator[Row]:
    """Every pair of telling addresses with every telling service."""
    services = telling_services(program)
    addresses = telling_addresses(program)
    for version in Family:
        own = [format_address(a) for a in addresses if family(a) is version]
        for source, destination in product(own, own):
            for protocol, port in services:
                yield source, destination, protocol, port
