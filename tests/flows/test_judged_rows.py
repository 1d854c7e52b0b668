"""`eval --flows`: logs of every format, row by row; the scanner of rows beside the reference."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netpolc.flows import Counts, judge_log
from netpolc.flows.decode._scan import copied
from netpolc.flows.notes import LogNotes
from tests.cli.invocation import Outcome, invoke
from tests.flows.writers import FLOWS, WRITERS, zstd
from tests.helpers.scenarios import ROOT, read

FOLDER = ROOT / "examples" / "three-tier"
FRONTEND, BACKEND = "production/frontend-1", "production/backend-1"
ENDS = f"{FRONTEND},{BACKEND},TCP"


def judge(path: str, *arguments: str, log: str | bytes = "") -> Outcome:
    stdin = log.encode() if isinstance(log, str) else log
    return invoke("eval", str(FOLDER), "--flows", path, *arguments, stdin=stdin)


def judged_of(outcome: Outcome) -> list[str]:
    return [row["verdict"] for row in csv.DictReader(io.StringIO(outcome.stdout))]


@pytest.mark.parametrize("name", [name for name in WRITERS if name not in ("csv", "jsonl")])
def test_every_format_is_judged(name: str, tmp_path: Path) -> None:
    """By hand, from the policies of the example, in the order of the flows."""
    flows = [own for own in FLOWS if name != "conntrack" or own.verdict == "forwarded"]
    path = tmp_path / "log"
    path.write_bytes(WRITERS[name](flows))
    denied = {
        ("203.0.113.8", 443): "DENY",
        ("10.244.1.61", 8080): "DENY",
        ("10.244.1.61", 5432): "UNCLEAR" if name == "vpc-2" else "DENY",
    }
    result = judge(str(path))
    assert result.code == 0, result.stderr
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["src"], row["dst"]) for row in rows] == [(own.src, own.dst) for own in flows]
    assert [row["verdict"] for row in rows] == [
        denied.get((own.src, own.port or 0), "ALLOW") for own in flows
    ]


def test_replies_and_records_that_cannot_be_judged() -> None:
    flow = {"IP": {"source": "10.244.1.21", "destination": "10.244.1.11"}, "verdict": "FORWARDED",
            "l4": {"TCP": {"source_port": 8080, "destination_port": 40000}}}  # fmt: skip
    gone = {"namespace": "production", "pod_name": "gone"}
    log = [{**flow, "is_reply": True}, {**flow, "is_reply": False, "source": gone}]
    result = judge("-", log="".join(f"{json.dumps(own)}\n" for own in log))
    assert result.code == 1
    assert judged_of(result) == ["REPLY", "INVALID"]
    told = "standard input: 1 records are not judged: a pod that is not in the snapshot\n"
    assert told in result.stderr
    assert "2 flows: 0 allowed, 0 denied, 1 invalid, 1 replies\n" in result.stderr


def test_ports_between_two_numbers_are_told() -> None:
    """JSON has them; in a column of numbers 8080.0 is a port like 8080."""
    rows = [
        (FRONTEND, BACKEND, 8080.5),
        ("10.244.1.21", "10.244.1.11", 0.5),
        (FRONTEND, BACKEND, 8080.0),
    ]
    names = ("src", "dst", "protocol", "port")
    log = [dict(zip(names, (*ends, "TCP", port), strict=True)) for *ends, port in rows]
    result = judge("-", log="".join(f"{json.dumps(own)}\n" for own in log))
    assert result.code == 1
    verdicts = [json.loads(line)["verdict"] for line in result.stdout.splitlines()]
    assert verdicts == ["INVALID", "INVALID", "ALLOW"]
    for line, (*_, port) in enumerate(rows[:2], start=1):
        assert f"standard input:{line}: port {port} is no whole number\n" in result.stderr


def test_packed_logs_folders_and_patterns_are_one_output(tmp_path: Path) -> None:
    head, row = "src,dst,protocol,port,note\n", f"{ENDS},%d,x\n"
    (tmp_path / "a.csv").write_text(head + row % 8080)
    (tmp_path / "b.gz").write_bytes(gzip.compress((head + row % 1).encode()) * 1)
    two = gzip.compress((row % 8080).encode())
    (tmp_path / "c.gz").write_bytes(gzip.compress((head + row % 1).encode()) + two)
    (tmp_path / "d.zst").write_bytes(zstd((head + row % 8080).encode()))
    for path, verdicts in (
        (tmp_path, ["ALLOW", "DENY", "DENY", "ALLOW", "ALLOW"]),
        (tmp_path / "[bd].*", ["DENY", "ALLOW"]),
    ):
        result = judge(str(path))
        assert result.code == 0, result.stderr
        assert result.stdout.count("src,dst") == 1
        assert judged_of(result) == verdicts


@pytest.mark.parametrize(
    ("logs", "arguments", "message"),
    [
        (["src,dst,protocol,port\n", "dst,src,protocol,port\n"], (), "b: other columns than "),
        (["src,dst,protocol,port\n", '{"src":"","dst":"","protocol":6}\n'], (), "b: other columns"),
        (["src,dst,protocol,port\n", "\0\1"], (), "b: a log of no format that is known"),
        (["", "x"], (), "a: the log is empty"),
        (["src,dst,protocol,port\nx,"], ("--format", "vpc"), "a:1: a header is expected"),
        (["src,dst,protocol,port\n"], ("--format", "no"), "--format no: one of hubble"),
        (["src,dst,protocol,port\n" + "x" * (1 << 20) + "x\n"], (), "a:2: a line of more than"),
        (["src,dst,protocol,port\n" + "x" * (5 << 20)], (), "a:2: a line of more than 1048576"),
        ([json.dumps({"flow": {"verdict": 7}})], (), "a:1: no record of this format"),
    ],
)  # fmt: skip
def test_logs_that_are_refused(
    logs: list[str], arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    """With --keep-going what is bad is counted, but for an option that is wrong."""
    (folder := tmp_path / "logs").mkdir()
    for name, log in zip("ab", logs, strict=False):
        (folder / name).write_text(log)
    (out := tmp_path / "out.csv").write_text("as it was")
    result = judge(str(folder), *arguments, "--file", str(out))
    assert result.code == 2, result.stderr
    assert message in result.stderr
    assert out.read_text() == "as it was"
    result = judge(str(folder), *arguments, "--keep-going")
    assert result.code == (2 if "no" in arguments else 1)
    assert message.partition(": ")[2] in result.stderr


def test_a_log_that_is_cut_keeps_what_is_before() -> None:
    log = f"src,dst,protocol,port\n{ENDS},8080\n{ENDS},80"
    result = judge("-", log=log)
    assert result.code == 0
    assert judged_of(result) == ["ALLOW", "DENY"]
    assert "standard input:3: the last line has no end and may be cut\n" in result.stderr


def test_a_quote_that_nothing_closes_takes_no_other_row() -> None:
    rows = [f'"x\ny",{ENDS},8080', f'"x,{ENDS},8080', f"z,{ENDS},1", f'"a"b,{ENDS},8080']
    result = judge("-", log="\n".join(["note,src,dst,protocol,port", *rows, ""]))
    assert result.code == 1
    assert judged_of(result) == ["ALLOW", "INVALID", "DENY", "INVALID"]
    assert "standard input:4: " in result.stderr
    assert "standard input:6: " in result.stderr


ODD_CELLS = st.sampled_from(
    ["", "x", "-", "-1", "=A1", " +x", ":a", '"', '"a,b"', '"a\nb"', "a\u200bb", "##[", "\xe9"]
)
ROWS = st.lists(
    st.one_of(
        st.tuples(
            ODD_CELLS,
            st.sampled_from(["10.244.1.11", "10.244.1.21", "no/such", FRONTEND, " 10.244.1.11 "]),
            st.sampled_from(["10.244.1.21", BACKEND, "10.0.0.256", "2001:db8::1", "::1"]),
            st.sampled_from(["TCP", "6", "UDP", "QUIC", "icmp"]),
            st.sampled_from(["8080", "1", "", "99999", "http"]),
        ).map(",".join),
        st.sampled_from(["", " ", "a,b", "a,b,c,d,e,f"]),
    ),
    max_size=12,
)


OBJECT = '{{"src":{}, "dst" : {},"protocol":{},"port":{}{}}}'
OBJECTS = st.lists(
    st.one_of(
        st.builds(
            OBJECT.format,
            st.sampled_from(['"10.244.1.11"', f'"{FRONTEND}"', '" 10.244.1.11"', "null", "7"]),
            st.sampled_from(['"10.244.1.21"', f'"{BACKEND}"', '"\\u0031"', '"10.0.0.256"']),
            st.sampled_from(['"TCP"', "6", '"6"', "6.0", '"QUIC"', "null", "true", "256"]),
            st.sampled_from(["8080", '"8080"', "1", '""', "null", "8080.0", "70000", '"http"']),
            st.sampled_from(
                ["", ',"verdict":"forwarded"', ',"x":[{}, -1.5, "\\n"] ', ',"##[x]":"::y"',
                 ',"src":""', ',"x":"\u202e"', ',"x":1e999']
            ),
        ),
        st.sampled_from(["", " ", "7", "{", "{}", '{"src":"a"}', "[1,2]", "{} x", "\t{}"]),
    ),
    max_size=12,
)  # fmt: skip


def written(content: bytes, form: str, size: int | None) -> tuple[str, list[str], Counts]:
    """What becomes of a log, in blocks of a size; None: every row is read by itself."""
    out, told = io.StringIO(), list[str]()
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "log"
        path.write_bytes(content)
        if size is None:
            patch.setattr("netpolc.flows.rowwise.rows.copied", None)
        else:
            patch.setattr("netpolc.flows.rowwise.rows.CHUNK", size)
            patch.setattr("netpolc.flows.sources.BLOCK", size)
        program = read(FOLDER).program()
        counts = judge_log(
            program, [str(path)], out, LogNotes(), lambda *one: told.append(one[1]), form
        )
    return out.getvalue(), told, counts


@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_rows_in_blocks_come_out_as_each_by_itself(rows: list[str], end: str, size: int) -> None:
    """Lines that the scanner splits; without it the csv module reads every row."""
    log = end.join(["note,src,dst,protocol,port", *rows, ""]).encode()
    text, *rest = written(log, "csv", size)
    reference, *others = written(log, "csv", None)
    assert rest == others
    # What is copied as it is may have quotes that nobody needs.
    assert [*csv.reader(io.StringIO(text))] == [*csv.reader(io.StringIO(reference))]


@given(OBJECTS, st.sampled_from(["\n", "\r\n"]), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_objects_in_blocks_come_out_as_each_by_itself(rows: list[str], end: str, size: int) -> None:
    log = end.join(['{"src":"10.244.1.11","dst":"10.244.1.21","protocol":6}', *rows, ""]).encode()
    text, *rest = written(log, "jsonl", size)
    reference, *others = written(log, "jsonl", None)
    assert rest == others
    assert text.isascii()
    lines = text.splitlines()
    assert [json.loads(own) for own in lines] == list(map(json.loads, reference.splitlines()))
    assert all(own.count('"verdict"') == 1 for own in lines)


@pytest.mark.parametrize("number", [-3, 1])
def test_numbers_that_name_no_flow_are_refused(number: int) -> None:
    """Before anything is read behind the endings."""
    numbers = number.to_bytes(4, sys.byteorder, signed=True)
    with pytest.raises(ValueError, match="a flow without an ending"):
        copied(b"a\n", numbers, [b",ALLOW\n"], [], False)
