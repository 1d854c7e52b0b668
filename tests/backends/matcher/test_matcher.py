"""The matcher's interface: what it takes, what it refuses, and how."""

from __future__ import annotations

import os
import pickle
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from ipaddress import IPv6Address, ip_address, ip_interface
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import netpolc
from netpolc.backends.matcher import ALLOW, DENY, INVALID, Matcher
from netpolc.backends.matcher._core import MatcherCore
from netpolc.backends.matcher.store import FileError
from tests.backends.matcher.agreement import factored, levels, reopened, simd
from tests.helpers.scenarios import ROOT, read

WEB, API, DB = "10.64.1.7", "10.64.0.21", "10.64.1.22"


@pytest.fixture(scope="module")
def program() -> netpolc.Program:
    return read(ROOT / "examples" / "three-tier").program()


@pytest.fixture(scope="module")
def flow(program: netpolc.Program) -> tuple[str, str]:
    """Two pods of which the first may reach the second on 8080, and not on port 1."""
    ends = "production/frontend-1", "production/backend-1"
    one = netpolc.flows_between(program, *ends, "TCP", PORT)[0]
    source, destination = map(netpolc.core.nets.format_address, (one.source, one.destination))
    return source, destination


PORT = 8080


@pytest.fixture(scope="module", params=levels())
def matcher(program: netpolc.Program, request: pytest.FixtureRequest) -> Matcher:
    with simd(request.param):
        made = Matcher(program)
    assert made.simd == request.param
    return made


@pytest.mark.skipif(platform.machine() != "x86_64", reason="no other processor has these forms")
def test_no_form_is_used_that_the_processor_lacks() -> None:
    flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    assert flags
    has = set(flags[1].split())
    wanted = ["scalar"]
    if "sse4_1" in has:
        wanted.append("sse41")
    if has >= {"sse4_1", "avx2"}:
        wanted.append("avx2")
    if has >= {"sse4_1", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512dq"}:
        wanted.append("avx512")
    assert levels() == wanted


SPELLINGS: list[Callable[[str], Any]] = [
    str,
    ip_address,
    lambda text: ip_address(text).packed,
    lambda text: int(ip_address(text)),
    lambda text: np.uint32(int(ip_address(text))),
    lambda text: f"::ffff:{text}",
    lambda text: IPv6Address(f"::ffff:{text}"),
    lambda text: IPv6Address(f"::ffff:{text}").packed,
]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_any_spelling(matcher: Matcher, flow: tuple[str, str], spell: Callable[[str], Any]) -> None:
    source, destination = map(spell, flow)
    assert matcher.verdict(source, destination, "TCP", PORT) is True
    assert matcher.verdict(source, destination, "tcp", PORT) is True
    assert matcher.verdict(source, destination, 6, PORT) is True
    assert matcher.verdict(source, destination, "TCP", 1) is False
    assert matcher.verdict(src=source, dst=destination, protocol="TCP", port=PORT) is True
    found = matcher.verdicts([source] * 2, [destination] * 2, "TCP", [PORT, 1])
    assert found.tolist() == [ALLOW, DENY]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("10.0.0.256", DB, "TCP", 80), "octet"),
        (("010.0.0.1", DB, "TCP", 80), "leading zeros"),
        (("fe80::1%eth0", "fe80::2", "TCP", 80), "scope"),
        (("", DB, "TCP", 80), "not an IPv4"),
        ((WEB, "2001:db8::1", "TCP", 80), "different address families"),
        ((WEB, DB, "TCP", None), "needs a port"),
        ((WEB, DB, "TCP", 65536), "0 to 65535"),
        ((WEB, DB, "UDP", -1), "0 to 65535"),
        ((WEB, DB, "TCP", 80.5), "no whole number"),
        ((WEB, DB, "TCP", -0.5), "no whole number"),
        ((WEB, DB, "ICMP", None), "unknown protocol"),
        ((WEB, DB, 256, None), "outside 0-255"),
        ((WEB, DB, -1, None), "outside 0-255"),
        ((b"123", DB, "TCP", 80), "4 or 16 bytes"),
        ((-1, DB, "TCP", 80), "2\\*\\*128"),
    ],
)
def test_what_no_packet_could_be(matcher: Matcher, row: Any, message: str) -> None:
    """An exception for one flow; in a column a code, and the other rows their verdicts."""
    with pytest.raises(ValueError, match=message):
        matcher.verdict(*row)
    good = (WEB, DB, 47, None)
    columns = [list(column) for column in zip(good, row, good, strict=True)]
    codes = matcher.verdicts(*columns)
    own = int(matcher.verdict(*good))
    assert codes.tolist() == [own, INVALID, own]


@pytest.mark.parametrize("row", [(None, DB, "TCP", 80), (ip_interface("10.0.0.1/8"), DB, 6, 80)])
def test_what_is_no_address_at_all(matcher: Matcher, row: Any) -> None:
    with pytest.raises(TypeError):
        matcher.verdict(*row)
    assert matcher.verdicts([row[0]], [row[1]], row[2], row[3]).tolist() == [INVALID]


def test_protocols_without_ports(matcher: Matcher) -> None:
    for port in (None, 0, 80):
        assert matcher.verdict(WEB, WEB, 1, port) is True
    assert matcher.verdicts([WEB], [WEB], 1).tolist() == [ALLOW]
    assert matcher.verdicts([WEB], [WEB], [1], [70_000]).tolist() == [ALLOW]
    assert matcher.verdicts([WEB], [WEB], "UDP").tolist() == [INVALID]


def test_columns_of_any_integers(matcher: Matcher, flow: tuple[str, str]) -> None:
    source, destination = (np.full(3, int(ip_address(a)), dtype=np.uint32) for a in flow)
    wanted = [ALLOW, DENY, INVALID]
    for dtype in (np.int32, np.int64, np.uint32, np.uint64, object):
        ports = np.array([PORT, 1, 65536], dtype=dtype)
        assert matcher.verdicts(source, destination, "TCP", ports).tolist() == wanted
        protocols = np.array([6, 6, 300], dtype=dtype)
        found = matcher.verdicts(source, destination, protocols, np.array([PORT, 1, 1]))
        assert found.tolist() == wanted
    names = np.array(["TCP", "tcp", "ICMP"])
    ports = np.array([PORT, 1, 1], dtype=np.uint16)
    assert matcher.verdicts(source, destination, names, ports).tolist() == wanted
    assert matcher.verdicts(source, destination, list(names), list(ports)).tolist() == wanted
    assert matcher.verdicts(source[::-1], destination[::-1], "TCP", PORT).tolist() == [ALLOW] * 3


@pytest.mark.parametrize(
    "columns",
    [
        (["10.0.0.1"], [], "TCP", 80),
        (["10.0.0.1"], ["10.0.0.1"], "TCP", [80, 81]),
        (["10.0.0.1"], ["10.0.0.1"], ["TCP", "UDP"], 80),
        (["10.0.0.1"], ["10.0.0.1"], "TCP", np.array(["80"])),
        (["10.0.0.1"], ["10.0.0.1"], "nonsense", 80),
        (np.zeros(1, dtype=np.int64), ["10.0.0.1"], "TCP", 80),
        (np.zeros((1, 8), dtype=np.uint8), ["10.0.0.1"], "TCP", 80),
    ],
)
def test_columns_that_are_none(matcher: Matcher, columns: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        matcher.verdicts(*columns)


def test_families_mixed_in_a_column(matcher: Matcher, flow: tuple[str, str]) -> None:
    mapped = np.array(
        [list(IPv6Address(f"::ffff:{flow[0]}").packed), list(IPv6Address("2001:db8::1").packed)],
        dtype=np.uint8,
    )
    other = np.full(2, int(ip_address(flow[1])), dtype=np.uint32)
    assert matcher.verdicts(mapped, other, "TCP", PORT).tolist() == [ALLOW, INVALID]


@pytest.mark.parametrize("rows", [0, 1, 15, 16, 17, 1023, 1024, 1025, 70_001])
def test_every_length_and_any_threads(
    program: netpolc.Program, matcher: Matcher, rows: int
) -> None:
    rng = np.random.default_rng(rows)
    pods = np.array([a for a in program.pods_by_address if a < 1 << 32], dtype=np.uint32)
    source, destination = rng.choice(pods, rows), rng.choice(pods, rows)
    ports = rng.choice(np.array([80, 5432, PORT], dtype=np.uint16), rows)
    found = matcher.verdicts(source, destination, "TCP", ports)
    for threads in (2, 3):
        again = matcher.verdicts(source, destination, "TCP", ports, threads=threads)
        assert (again == found).all()
    if rows < 2000:
        single = [
            matcher.verdict(int(s), int(d), 6, int(p))
            for s, d, p in zip(source, destination, ports, strict=True)
        ]
        assert found.tolist() == [int(allowed) for allowed in single]
    with pytest.raises(ValueError, match="at least one"):
        matcher.verdicts(source, destination, "TCP", ports, threads=0)


def test_lookup_and_explain(program: netpolc.Program, matcher: Matcher) -> None:
    address, pod = next(iter(sorted(program.pods_by_address.items())))
    text = netpolc.core.nets.format_address(address)
    found = matcher.lookup(text)
    assert (found.family, found.pod) == (4, pod.key)
    assert matcher.lookup("203.0.113.9").pod is None
    assert matcher.lookup("2001:db8:ffff::1").family == 6
    verdict = matcher.explain(text, text, "TCP", 80)
    assert verdict.allowed


def test_it_comes_back_from_a_file(
    program: netpolc.Program, matcher: Matcher, flow: tuple[str, str], tmp_path: Path
) -> None:
    for made in (matcher, factored(program)):
        path = tmp_path / "cluster.matcher"
        made.save(path)
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        for verify in (True, False):
            opened = Matcher.open(path, verify=verify)
            assert opened.verdict(*flow, "TCP", PORT)
            assert opened.lookup(flow[0]) == made.lookup(flow[0])
            assert (opened.classes, opened.factored) == (made.classes, made.factored)
            with pytest.raises(netpolc.UsageError, match="no policies"):
                opened.explain(*flow, "TCP", PORT)
        again = tmp_path / "again"
        opened.save(again)
        assert again.read_bytes() == path.read_bytes()
        again.unlink()


def test_a_file_that_is_not_what_was_written(program: netpolc.Program, tmp_path: Path) -> None:
    path = tmp_path / "matcher"
    Matcher(program).save(path)
    data = path.read_bytes()

    def refused(changed: bytes) -> str:
        path.write_bytes(changed)
        with pytest.raises(FileError) as caught:
            Matcher.open(path)
        return str(caught.value)

    for end in (0, 5, 63, 64, 500, len(data) // 2, len(data) - 1):
        refused(data[:end])
    refused(data + b"\0")
    places = [*range(64), *range(64, len(data), len(data) // 200), len(data) - 1]
    for place in places:
        refused(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    assert "not a matcher" in refused(b"PK" + data[2:])
    assert "version 2" in refused(data[:8] + (2).to_bytes(4, sys.byteorder) + data[12:])
    assert "byte order" in refused(data[:12] + data[12:16][::-1] + data[16:])


def test_an_unwritable_place_leaves_nothing_behind(
    program: netpolc.Program, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        Matcher(program).save(tmp_path / "taken")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles(matcher: Matcher, flow: tuple[str, str], protocol: int) -> None:
    copied = pickle.loads(pickle.dumps(matcher, protocol=protocol))
    assert copied.verdict(*flow, "TCP", PORT)
    assert not copied.verdict(*flow, "TCP", 1)


def test_pickles_out_of_band(matcher: Matcher, flow: tuple[str, str]) -> None:
    for original in (matcher, reopened(matcher)):
        buffers: list[pickle.PickleBuffer] = []
        data = pickle.dumps(original, protocol=5, buffer_callback=buffers.append)
        assert len(data) < 2000
        copied = pickle.loads(data, buffers=buffers)
        assert copied.verdict(*flow, "TCP", PORT)


def judged(matcher: Matcher, row: tuple[str, str, str, int]) -> bool:
    return matcher.verdict(*row)


def test_a_worker_process_gets_one(matcher: Matcher, flow: tuple[str, str]) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(judged, matcher, (*flow, "TCP", PORT)).result()


def test_a_pickle_of_another_version(matcher: Matcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("netpolc.backends.matcher.store.VERSION", 99)
    data = pickle.dumps(matcher)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="another version"):
        pickle.loads(data)


def test_the_choice_of_code(program: netpolc.Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETPOLC_SIMD", "altivec")
    with pytest.raises(ValueError, match="scalar, sse41, avx2, avx512"):
        Matcher(program)
    monkeypatch.setenv("NETPOLC_SIMD", "scalar")
    assert Matcher(program).simd == "scalar"


def test_it_is_immutable(matcher: Matcher) -> None:
    with pytest.raises(TypeError, match="immutable"):
        MatcherCore.__init__(matcher, matcher._numbers, matcher._buffers)


def test_compiling_needs_no_numpy() -> None:
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import netpolc, netpolc.backends.matcher as m\n"
        "netpolc.compile(netpolc.load_objects([]))\n"
        "assert m.RadixTree([('10.0.0.0/8', 1)]).lookup('10.1.2.3') == 1\n"
        "try: netpolc.Matcher\n"
        "except ImportError as error: assert 'netpolc[matcher]' in str(error)\n"
        "else: raise AssertionError\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})


def test_what_is_no_flow_is_not_allowed(matcher: Matcher, flow: tuple[str, str]) -> None:
    source, destination = flow
    rows = [source, "no address", source], [destination] * 3, "TCP", [PORT, PORT, 1]
    assert list(matcher.verdicts(*rows)) == [ALLOW, INVALID, DENY]
    assert matcher.allowed(*rows).tolist() == [True, False, False]
    assert [str(netpolc.VerdictCode(code).name) for code in matcher.verdicts(*rows)] == [
        "ALLOW",
        "INVALID",
        "DENY",
    ]


def test_a_matcher_is_shown_in_a_line(matcher: Matcher) -> None:
    assert repr(matcher).startswith("<Matcher classes=")
    assert len(repr(matcher)) < 100
