"""Inputs for the readers: what the generators of tests/ give, and files of examples, damaged.

Out: `STRATEGIES`, bytes for each reader, and `samples`, the sound files that are damaged.
"""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import strategies as st

import netpolc
from netpolc import Matcher, Options
from tests.cli.snapshots import objects
from tests.fuzz.readers import program
from tests.helpers.ordered_strategies import ordered_snapshots
from tests.helpers.scenarios import ROOT
from tests.helpers.strategies import legacy_snapshots, snapshots

ODD: list[Any] = [
    None, True, 0, -1, 80, 10**30, 1.5, float("nan"), float("inf"), "", "a\x00b", "\ud800",
    "\x1b[2J", "x" * 300, [], {}, [[]], {"": None}, {"a": {"a": {}}}, "10.0.0.0/8", "10.0.0.5/8",
    "010.0.0.0/8", "::", "::ffff:10.0.0.1", "80:80", "1_000", "0x10", "yes", "Ingress", "http",
]  # fmt: skip
"""Values that some reader may not expect."""
KEYS = [
    "metadata", "spec", "status", "items", "kind", "annotations", "labels", "netpolc.dev/ignore",
    "netpolc.dev/audit", "podIPs", "podSelector", "matchExpressions", "endPort", "except", "x.y[0]",
    "subject", "namespaces", "protocols", "networks", "action",
]  # fmt: skip
PIECES = [
    b"", b"\0", b'"', b"'", b"{", b"}", b"[", b"\n", b"\r", b"\t", b"-", b":", b",", b"#", b"*a",
    b"&a ", b"!!binary ", b"<<: ", b"? ", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"9" * 5000, b"1e999", b"[" * 1200, b'{"a":' * 1200, b"null", b"---\n", b"/129", b"/0", b"0x",
    b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x7f\xff\xff\xff", b"\0" * 64,
]  # fmt: skip
"""What is put into texts and tables."""


@st.composite
def torn(draw: st.DrawFn, sources: st.SearchStrategy[bytes]) -> bytes:
    """Bytes with pieces gone, doubled, moved or replaced; now and then as they are."""
    data = draw(sources)
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, len(data)))
        last = min(len(data), first + draw(st.sampled_from([0, 1, 2, 4, 8, 40, 400])))
        own = data[first:last]
        match draw(st.sampled_from(["piece", "any", "twice", "elsewhere", "flip", "end"])):
            case "piece":
                data = data[:first] + draw(st.sampled_from(PIECES)) + data[last:]
            case "any":
                data = data[:first] + draw(st.binary(max_size=8)) + data[last:]
            case "twice":
                data = data[:last] + own + data[last:]
            case "elsewhere":
                at = draw(st.integers(0, len(data)))
                data = data[:at] + own + data[at:]
            case "flip" if first < len(data):
                bit = 1 << draw(st.integers(0, 7))
                data = data[:first] + bytes([data[first] ^ bit]) + data[first + 1 :]
            case _:
                data = data[:first]
    return data


@st.composite
def damaged(draw: st.DrawFn) -> list[Any]:
    """Objects of a snapshot with some parts gone, moved or replaced."""
    given = st.one_of(st.builds(objects), snapshots(), legacy_snapshots(), ordered_snapshots())
    found: Any = copy.deepcopy(draw(given))
    for _ in range(draw(st.integers(0, 4))):
        part = found
        while part:
            steps = list(part) if isinstance(part, dict) else list(range(len(part)))
            step = draw(st.sampled_from(steps))
            if isinstance(part[step], dict | list) and draw(st.integers(0, 4)):
                part = part[step]
                continue
            if draw(st.booleans()):
                part[step] = copy.deepcopy(draw(st.sampled_from(ODD)))
            elif isinstance(part, dict):
                part[draw(st.sampled_from(KEYS))] = copy.deepcopy(part[step])
            else:
                part.append(copy.deepcopy(part[step]))
            break
    return list(found)


def _as_json(found: list[Any]) -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": found}).encode()


def _as_yaml(found: list[Any]) -> bytes:
    try:
        return yaml.dump_all(found, Dumper=yaml.CSafeDumper).encode()
    except UnicodeEncodeError:  # half characters: escapes, which YAML has from JSON
        return "\n---\n".join(map(json.dumps, found)).encode()


@cache
def samples(name: str) -> list[bytes]:
    """Sound files for a reader."""
    match name:
        case "yaml" | "json":
            folders = (ROOT / "examples", ROOT / "tests/cases", ROOT / "tests/errors")
            files = [path for own in folders for path in sorted(own.rglob(f"*.{name}"))]
            written = _as_json if name == "json" else _as_yaml
            return [written(objects()), *(path.read_bytes() for path in files)]
        case "listing":
            recorded = sorted((ROOT / "tests/backends/nft/listings/recorded").glob("*/*"))
            options = (Options(), Options(log="3/hour", audit=True), Options(hook="postrouting"))
            rulesets = [program().ruleset(options=own) for own in options]
            own = [
                form.encode() for ruleset in rulesets for form in (ruleset.text(), ruleset.json())
            ]
            return own + [path.read_bytes() for path in recorded]
        case "log":
            return [text.encode() for text in LOGS]
        case _:
            return [
                _matcher_file(program()),
                _matcher_file(netpolc.compile(netpolc.load_objects([]))),
            ]


LOGS = [
    "src,dst,protocol,port\n10.64.0.7,10.64.1.9,TCP,443\n10.64.0.7,fd00::1,UDP,53\n",
    'port,src,note,dst,protocol\n80,10.64.0.7,"a ""b""\nc",10.64.1.9,6\n,::1,=1,::2,icmpv6\n',
    '{"src":"10.64.0.7","dst":"10.64.1.9","protocol":"TCP","port":80}\n'
    '{"dst":"shop/web","src":"::1","protocol":58,"x":[1.5,null]}\n',
    "[1.5] netpolc egress e_0123456789abcdef: IN=a OUT=b SRC=10.64.0.7 DST=10.64.1.9 LEN=60 TTL=63"
    " PROTO=TCP SPT=1 DPT=80 SEQ=1 \n",
]
CELLS = [
    "10.64.0.7", "10.64.1.9", "fd00::1", "production/web", "TCP", "tcp", "6", "443", "65536", "-1",
    "1e3", "٣", "", " ", '"', "=x", "src", "verdict", "10.64.0.7/32", "icmp", "256", "\u2028", "\r",
]  # fmt: skip


def _matcher_file(compiled: netpolc.Program) -> bytes:
    with TemporaryDirectory() as folder:
        Matcher(compiled).save(Path(folder, "m"))
        return Path(folder, "m").read_bytes()


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A log of cells and values that may stand in any column."""
    names = st.sampled_from(["src", "dst", "protocol", "port", "verdict", "x"])
    if draw(st.booleans()):
        values = st.sampled_from([*ODD, *CELLS, 443, 6])
        rows = draw(st.lists(st.dictionaries(names, values, min_size=3), min_size=1, max_size=6))
        return "\n".join(map(json.dumps, rows)).encode()
    cells = st.sampled_from(CELLS)
    lines = draw(st.lists(st.lists(cells, min_size=3, max_size=6), max_size=6))
    text = "\n".join(",".join(row) for row in [["src", "dst", "protocol", "port"], *lines])
    return text.encode()


@st.composite
def forged(draw: st.DrawFn) -> bytes:
    """A matcher's file with other numbers in its header."""
    data = samples("matcher")[draw(st.sampled_from([0, 1]))]
    start = int.from_bytes(data[16:24], "little")
    document = json.loads(data[64:start])
    parts = [document["numbers"], document["buffers"], document]
    for _ in range(draw(st.integers(1, 3))):
        part = draw(st.sampled_from(parts))
        value = st.one_of(st.sampled_from(ODD), st.integers(-1, 1 << 33), st.just([0, 64]))
        part[draw(st.sampled_from(sorted(part)))] = draw(value)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 64)
    return data[:16] + (64 + len(text)).to_bytes(8, "little") + data[24:64] + text + data[start:]


def _strategy(name: str, *made: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    files = st.deferred(lambda: st.sampled_from(range(len(samples(name))))).map(
        lambda number: samples(name)[number]
    )
    return st.one_of(torn(files), torn(st.just(b"")), *made, *map(torn, made))


STRATEGIES: dict[str, st.SearchStrategy[bytes]] = {
    "yaml": _strategy("yaml", damaged().map(_as_yaml)),
    "json": _strategy("json", damaged().map(_as_json)),
    "listing": _strategy("listing"),
    "log": _strategy("log", tables()),
    "matcher": _strategy("matcher", forged()),
}
"""Bytes for each reader of `READERS`."""
