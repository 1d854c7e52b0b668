"""Forged files: right checksums around numbers that lead elsewhere.

In: the file of a good matcher in both forms, with one field of it changed and all checksums made
anew. Out: `FileError`, before anything is looked up; and the good files are opened.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netpolc
from netpolc import Matcher
from netpolc.backends.matcher import store
from netpolc.backends.matcher.matcher import _flatten
from netpolc.backends.matcher.store import FileError
from tests.helpers.scenarios import ROOT

EXAMPLE = ROOT / "examples" / "three-tier"
BLOCKS = ["10.9.8.0/25", "fd00::/16", "fd00:1:2::/65", "fe80:1::/32", "fe80:8::/32", "fc00::/65"]
U16, U32 = np.dtype("u2"), np.dtype("u4")
Parts = tuple[dict[str, Any], dict[str, Any]]


def parts(form: str, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """Numbers and buffers of a matcher with pods of both families, blocks and ports."""
    if form == "factored":
        monkeypatch.setattr("netpolc.backends.matcher.tables.PAIR_BYTES", 0)
        monkeypatch.setattr("netpolc.backends.matcher.tables.build_tables.__defaults__", (0,))
    cidrs = [{"ipBlock": {"cidr": own}} for own in BLOCKS]
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p{number}", "labels": {"n": str(number)}},
            "spec": {"nodeName": "n"},
            "status": {
                "podIP": f"10.0.0.{number}",
                "podIPs": [{"ip": f"10.0.0.{number}"}, {"ip": f"fd00::{number}"}],
            },
        }
        for number in range(1, 9)
    ]
    policies = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"n{number}"},
            "spec": {
                "podSelector": {"matchLabels": {"n": str(number)}},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"from": cidrs, "ports": [{"port": 80 + number}]}],
            },
        }
        for number in range(1, 5)
    ]
    program = netpolc.compile(netpolc.load_objects([*pods, *policies]))
    numbers, buffers = _flatten(program)
    return dict(numbers), {name: bytes(memoryview(own).cast("B")) for name, own in buffers.items()}


FORMS = ("pairs", "factored")


@pytest.fixture(params=FORMS)
def good(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """The parts of a matcher in each form."""
    return parts(request.param, monkeypatch)


def opened(path: Path, numbers: dict[str, Any], buffers: dict[str, Any]) -> Matcher:
    """Written with right checksums, and opened."""
    store.save(path, numbers, buffers)
    return Matcher.open(path)


def test_good_tables_are_inside_themselves(good: Parts, tmp_path: Path) -> None:
    matcher = opened(tmp_path / "m", *good)
    assert matcher.factored == (len(good[1]["roles"]) > 4)
    assert matcher.verdict("10.9.8.1", "10.0.0.1", "TCP", 81)
    assert not matcher.verdict("fd00:1:2::1", "fd00::2", "TCP", 81)


@pytest.mark.parametrize(
    "value", [-1, 0xFFFFFFFF, 1 << 40, 1 << 70, "7", 1.5, None, [1], True], ids=repr
)
@pytest.mark.parametrize("name", sorted(store._NUMBERS))
def test_numbers(name: str, value: object, good: Parts, tmp_path: Path) -> None:
    numbers, buffers = good
    with pytest.raises(FileError, match="out of bounds"):
        opened(tmp_path / "m", {**numbers, name: value}, buffers)


def forged(
    folder: Path, good: Parts, name: str, kind: np.dtype[Any], change: Callable[[Any], None]
) -> Matcher:
    """Opened with a table in which something is otherwise."""
    numbers, buffers = good
    table = np.frombuffer(buffers[name], dtype=kind).copy()
    change(table)
    return opened(folder / "m", numbers, {**buffers, name: table.tobytes()})


SIZES = {
    "cells4": 4, "cells6": 4, "roles": 4, "egress_index": 4, "ingress_index": 4, "pairs": 2,
    "egress_blocks": 2, "ingress_blocks": 2, "atoms": 2, "bits": 4, "hosts6": 24, "nodes6": 48,
}  # fmt: skip


_FACTORED = {name for name in SIZES if name.startswith(("egress", "ingress"))} | {"roles"}
OTHERS = {"pairs": _FACTORED, "factored": {"pairs"}}
"""The tables that matter in the other form alone."""


def in_each_form(names: Iterable[str]) -> pytest.MarkDecorator:
    """Each form with each of its tables, as `good` and `name`."""
    own = [(form, name) for form in FORMS for name in sorted(set(names) - OTHERS[form])]
    return pytest.mark.parametrize(("good", "name"), own, indirect=["good"])


@pytest.mark.parametrize("cut", [1, "item", "all"])
@in_each_form(SIZES)
def test_tables_that_are_too_short(name: str, cut: object, good: Parts, tmp_path: Path) -> None:
    numbers, buffers = good
    data = buffers[name]
    size = {1: 1, "item": SIZES[name], "all": len(data)}[cut]
    if (name, cut) == ("hosts6", "all"):
        return  # then there are none
    short = data[: len(data) - size]
    with pytest.raises(FileError, match="out of bounds"):
        opened(tmp_path / "m", numbers, {**buffers, name: short})


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("value", [0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
@in_each_form(set(SIZES) - {"bits", "hosts6", "nodes6"})
def test_cells_that_lead_elsewhere(
    name: str, value: int, at: int, good: Parts, tmp_path: Path
) -> None:
    kind = U16 if SIZES[name] == 2 else U32

    def change(table: Any) -> None:
        table[at] = value & (0xFFFF if kind == U16 else 0xFFFFFFFF) or 0xFFFF

    with pytest.raises(FileError, match="out of bounds"):
        forged(tmp_path, good, name, kind, change)


def test_a_radix_that_goes_deeper_than_addresses(good: Parts, tmp_path: Path) -> None:
    def change(table: Any) -> None:
        blocks = table.reshape(-1, 256)
        bottom = [own for own in range(256, len(blocks)) if (blocks[own] < 1 << 31).all()]
        blocks[bottom[-1]][0] = (1 << 31) + bottom[-1]

    with pytest.raises(FileError, match="cells4"):
        forged(tmp_path, good, "cells4", U32, change)


def test_nodes_in_a_ring(good: Parts, tmp_path: Path) -> None:
    numbers = good[0]

    def change(table: Any) -> None:
        table[:] = numbers["root6"]

    with pytest.raises(FileError, match="cells6"):
        forged(tmp_path, good, "cells6", U32, change)


def test_a_hash_without_a_free_cell(good: Parts, tmp_path: Path) -> None:
    def change(table: Any) -> None:
        table.reshape(-1, 6)[:, 4] = 1

    with pytest.raises(FileError, match="hosts6"):
        forged(tmp_path, good, "hosts6", U32, change)


@pytest.mark.parametrize(("field", "word"), [("outside", 8), ("inside", 9), ("depth", 10)])
@pytest.mark.parametrize("value", [0x7FFFFFFF, 0xFFFFFFFF, 17])
def test_nodes_that_lead_elsewhere(
    field: str, word: int, value: int, good: Parts, tmp_path: Path
) -> None:

    def change(table: Any) -> None:
        table.reshape(-1, 12)[1:, word] = value

    if (field, value) == ("outside", 17):
        return  # a leaf that could be
    with pytest.raises(FileError, match=r"nodes6|root6|cells6"):
        forged(tmp_path, good, "nodes6", U32, change)


@pytest.mark.parametrize(
    "header",
    [
        [], {}, "x", None, {"numbers": 1, "buffers": {}}, {"numbers": {}, "buffers": []},
        {"numbers": {}, "buffers": {}},
    ],
    ids=repr,
)  # fmt: skip
def test_headers_that_list_nothing(header: object, tmp_path: Path) -> None:
    text = json.dumps(header).encode().ljust(64)
    head = store._HEAD.pack(
        store.MAGIC, store.VERSION, 0x01020304, 128, 128, hashlib.sha256(text).digest()
    )
    (tmp_path / "m").write_bytes(head + text)
    with pytest.raises(FileError, match="the header lists"):
        Matcher.open(tmp_path / "m")


@pytest.mark.parametrize(
    "place",
    [[-64, 64], [0, -1], [0, 1 << 60], [1, 4], [64], "x", None, [0.0, 4], [0, 4, 4]],
    ids=repr,
)
def test_tables_that_are_elsewhere(place: object, good: Parts, tmp_path: Path) -> None:
    path = tmp_path / "m"
    store.save(path, *good)
    data = path.read_bytes()
    start = store._HEAD.unpack_from(data)[3]
    document = json.loads(data[64:start])
    document["buffers"]["bits"] = place
    text = json.dumps(document).encode()
    text = text.ljust(-(-(64 + len(text)) // 64) * 64 - 64)
    body = data[start:]
    sizes = 64 + len(text), 64 + len(text) + len(body)
    digest = hashlib.sha256(text).digest()
    path.write_bytes(
        store._HEAD.pack(store.MAGIC, store.VERSION, 0x01020304, *sizes, digest) + text + body
    )
    with pytest.raises(FileError, match="bits is not in the file"):
        Matcher.open(path, verify=False)


def test_names_of_pods_that_are_none(good: Parts, tmp_path: Path) -> None:
    numbers, buffers = good
    for names in ({"pod_names": b"\xff"}, {"pod_names": b"a/b"}, {"pod_addresses": b"x"}):
        matcher = opened(tmp_path / "m", numbers, {**buffers, **names})
        with pytest.raises(FileError, match="names of pods"):
            matcher.lookup("10.0.0.1")
