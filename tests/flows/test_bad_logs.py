"""Bad logs: each a sentence with its place, exit code 2 (1 with --keep-going), and no file; of
audit, and of recommend, which reads the same.
"""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from netpolc.flows.notes import Gravity
from tests.cli.invocation import Outcome, invoke
from tests.flows.reading import read_records
from tests.flows.writers import FLOWS, WRITERS, zstd
from tests.helpers.scenarios import ROOT

POLICIES = ("--policies", str(ROOT / "examples" / "three-tier"))
HUBBLE = WRITERS["hubble"](FLOWS)
STRANGERS = b"src,dst,protocol,port\n192.0.2.1,192.0.2.2,tcp,80\n192.0.2.1,shop/web-1,tcp,80\n"


NO_POD = b"src,dst,protocol,port\n192.0.2.1,192.0.2.2,tcp,80\n"
TIMED = b"ts,src,dst,protocol,port\n2026-01-01T00:00:00Z,10.244.1.11,10.244.1.21,tcp,8080\n"
RUBBISH = bytes(range(256)) * 256 + b"\n"
A_HUNDRED_MEGABYTES = 100 << 20
both = pytest.mark.parametrize("command", ["audit", "recommend"])


def parquet(**columns: list[object]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=1)
    return out.getvalue()


ENDS: dict[str, list[object]] = {
    "src": ["10.244.1.11"] * 2,
    "dst": ["10.244.1.21"] * 2,
    "protocol": ["tcp"] * 2,
}


def audit(path: Path, *arguments: str) -> Outcome:
    return invoke("audit", str(path), *POLICIES, *arguments)


@both
@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"", (), "log: the log is empty"),
        (gzip.compress(b""), (), "log: the log is empty"),
        (NO_POD[:22], (), "log: there is no record in it: nothing to judge"),
        (
            TIMED,
            ("--since", "2026-01-02T00:00:00Z"),
            "log: none of 1 records lies between --since and --until: nothing to judge",
        ),
        (HUBBLE + b'{"x": "' + b"x" * (1 << 20), (), "log:10: a line of more than 1048576 bytes"),
        (
            gzip.compress(HUBBLE + b"x" * A_HUNDRED_MEGABYTES + b"\n" + HUBBLE, 1),
            (),
            "log:10: a line of more than 1048576 bytes",
        ),
        (RUBBISH, ("--format", "hubble"), "log:1: no record of this format"),
        (RUBBISH, ("--format", "kernel"), "log: there is no record in it: nothing to judge"),
        (parquet(**ENDS, port=["80", "http"]), (), "log: row group 1: column port: "),
        (parquet(**ENDS), (), "log: no column port (names in lower case)"),
        (
            NO_POD,
            (),
            "log: none of 1 records can be judged: no end is a pod of the snapshot",
        ),
        (b"\n \n", (), "log: the log is empty"),
        (b"\x00\x01\x02\xff" * 100, (), "log: a log of no format that is known: --format names"),
        (b"hello, world\n", (), "log: a log of no format that is known: --format names"),
        (b"[1, 2]\n", (), "log: a log of no format that is known: --format names"),
        (b'{"a": 1}\n', (), "log: a log of no format that is known: --format names"),
        (HUBBLE, ("--format", "vpc"), "log:1: a header is expected"),
        (HUBBLE, ("--format", "csv"), "log:1: a header with src, dst, protocol and port"),
        (HUBBLE, ("--format", "conntrack"), "log:1: no record of this format: a line as conntrack"),
        (HUBBLE, ("--format", "gke"), "log:1: a record of an unknown kind"),
        (HUBBLE, ("--format", "ulogd"), "log:1: a record of an unknown kind"),
        (HUBBLE, ("--format", "calico"), "log:1: a record of an unknown kind"),
        (HUBBLE, ("--format", "jsonl"), "log:1: no record of this format: an object with src"),
        (HUBBLE, ("--format", "parquet"), "log: no Parquet file, or one that is cut"),
        (HUBBLE, ("--format", "arrow"), "log: no Arrow IPC, or one that is cut"),
        (STRANGERS, ("--format", "hubble"), "log:1: no record of this format: JSON is malformed"),
        (HUBBLE, ("--format", "hubbel"), "--format hubbel: one of hubble, gke, calico"),
        (HUBBLE + b'{"nobody": 1}\n', (), "log:10: a record of an unknown kind"),
        (HUBBLE + HUBBLE[:100], (), "log:10: no record of this format: Input data was truncated"),
        (
            HUBBLE + b'{"flow": {"verdict": 7}}\n',
            (),
            "log:10: no record of this format: Expected `str | null`, got `int` - at "
            "`$.flow.verdict`",
        ),
        (gzip.compress(HUBBLE)[:-4], (), "log: it cannot be read to its end: Truncated"),
        (gzip.compress(HUBBLE) + b"rubbish", (), "log: it cannot be read to its end:"),
        (zstd(HUBBLE)[:-1], (), "log: it cannot be read to its end: Truncated"),
        (gzip.compress(WRITERS["parquet"](FLOWS)), (), "log: Parquet has its index at its end"),
        (WRITERS["vpc"](FLOWS)[:-1], (), "log:10: the last line has no end and may be cut"),
        (WRITERS["vpc"](FLOWS) + b"5 1 2\n", (), "log:11: no record of this format"),
        (
            STRANGERS,
            (),
            "none of 2 records can be judged: no end is a pod of the snapshot (it is of another "
            "cluster or time, or addresses were translated before they were logged); 1: a pod that "
            "is not in the snapshot",
        ),
    ],
)
def test_what_cannot_be_read(
    command: str, content: bytes, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path, file = tmp_path / "log", tmp_path / "out.json"
    path.write_bytes(content)
    file.write_text("as it was")
    output = ("-o", "json", "--file", str(file))
    outcome = invoke(command, str(path), *POLICIES, *arguments, *output)
    assert outcome.code == 2, outcome
    assert message in outcome.stderr
    assert outcome.stdout == ""
    assert file.read_text() == "as it was"
    assert [own.name for own in tmp_path.iterdir() if own.name not in ("log", "out.json")] == []


@both
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda log: log + b'{"nobody": 1}\n{"x"\n{"y"\n',
            "log:11: no record of this format (2 in",
        ),
        (lambda log: gzip.compress(log)[:-4], "log: it cannot be read to its end"),
        (lambda log: zstd(log)[:-1], "log: it cannot be read to its end"),
        (
            lambda log: log + b"x" * (3 << 20) + b"\n" + log + b"y" * (3 << 20),
            "log:10: a line of more than 1048576 bytes (2 in all)",
        ),
        (lambda log: b"rubbish\n" + log, "log:1: no record of this format\n"),
    ],
)
def test_keep_going_counts_and_goes_on(
    command: str, spoil: Callable[[bytes], bytes], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(spoil(HUBBLE))
    outcome = invoke(command, str(path), *POLICIES, "--keep-going", "--format", "hubble")
    assert outcome.code == 1
    assert told in outcome.stderr


@both
def test_columns_that_change_between_files(command: str, tmp_path: Path) -> None:
    """What is not there would else be read as `the log does not say`."""
    good = b"10.244.1.11,10.244.1.21,tcp,8080"
    logs = {
        "a.csv": b"src,dst,protocol,port,verdict\n" + good + b",forwarded\n",
        "b.csv": b"src,dst,protocol,port,note\n" + good + b",x\n",
        "c.parquet": parquet(**ENDS, port=[8080, 8080], is_reply=[False, False]),
        "d.parquet": parquet(**ENDS, port=[8080, 8080], packets=[1, 1]),
    }
    for name, content in logs.items():
        (tmp_path / name).write_bytes(content)
    names = [str(tmp_path / name) for name in logs]
    told = [
        f"{names[1]}:1: other columns than {names[0]}:1: no verdict",
        f"{names[3]}: other columns than {names[2]}: no is_reply; also packets",
    ]
    for pair, message in zip((names[:2], names[2:]), told, strict=True):
        outcome = invoke(command, *pair, *POLICIES)
        assert (outcome.code, outcome.stdout) == (2, "")
        assert message in outcome.stderr
    outcome = invoke(command, *names, *POLICIES, "--keep-going")
    assert outcome.code == 1
    assert "6 records: 6 allowed" in outcome.stderr, "all of them are read"
    for message in told:
        assert message.rpartition(": ")[0] in outcome.stderr
    assert invoke(command, names[0], names[2], *POLICIES).code == 0, "of two formats"


def test_a_version_that_changes_between_files(tmp_path: Path) -> None:
    for name in ("vpc", "vpc-2", "parquet-vpc"):
        (tmp_path / name).write_bytes(WRITERS[name](FLOWS))
    outcome = audit(tmp_path)
    assert outcome.code == 2
    assert "other columns than" in outcome.stderr
    (tmp_path / "vpc-2").write_bytes(WRITERS["vpc"](FLOWS) * 2)
    (tmp_path / "parquet-vpc").unlink()
    assert "27 records" in audit(tmp_path).stderr, "headers in between say the same"


@pytest.mark.parametrize("cut", [-1, -8, -40, 300, 150_000])
def test_what_comes_before_the_cut_of_a_packed_log_is_judged(cut: int, tmp_path: Path) -> None:
    """Of two members the second is cut; zlib says what there is of it."""
    rows = [
        f"10.244.1.11,10.244.1.21,tcp,{number * 7919 % 65536}\n".encode()
        for number in range(60_000)
    ]
    first = gzip.compress(b"src,dst,protocol,port\n" + b"".join(rows[:10]))
    second = gzip.compress(b"".join(rows))
    left = zlib.decompressobj(wbits=31).decompress(second[:cut])
    path = tmp_path / "log"
    path.write_bytes(first + second[:cut])
    records, notes = read_records(path, keep_going=True)
    assert len(records) == 10 + left.count(b"\n")
    told = [str(note) for note in notes if note.gravity is Gravity.DAMAGED]
    assert f"{path}: it cannot be read to its end: Truncated compressed stream" in told
    outcome = audit(path)
    assert (outcome.code, outcome.stdout) == (2, "")


def test_keep_going_reads_the_other_files(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a").write_bytes(b"\0")
    (logs / "b").write_bytes(HUBBLE)
    outcome = audit(logs, "--keep-going")
    assert outcome.code == 1
    assert "outside" in outcome.stdout
    assert f"{logs / 'a'}: a log of no format that is known" in outcome.stderr
    assert audit(logs).code == 2


def test_lost_events_are_an_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "log"
    allowed = WRITERS["hubble"](FLOWS[:1])
    path.write_bytes(allowed)
    assert audit(path).code == 0
    path.write_bytes(allowed + b'{"lost_events": {"num_events_lost": "7"}}\n')
    outcome = audit(path)
    assert outcome.code == 1
    assert "log:2: events were lost before they were logged (7 in all)\n" in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-log",), "cannot read no-such-log: there is no such file"),
        (("-", "--since", "yesterday"), "--since, --until: Invalid isoformat string: 'yesterday'"),
        (("-", "--since", "2026-01-01T00:00:00"), "has no time zone"),
        (("-", "--denied", "--unused"), "--against, --denied and --unused exclude each other"),
    ],
)
def test_usage(arguments: tuple[str, ...], message: str) -> None:
    outcome = invoke("audit", *arguments, *POLICIES)
    assert outcome.code == 2
    assert message in outcome.stderr


def test_hostile_text_of_a_log_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "log"
    evil = "\\u001b[2J\\n::error::x"
    record = '{"src":"10.244.1.11","dst":"10.244.1.21","protocol":6,"port":8080,"problem":"%s"}\n'
    good = '{"src":"10.244.1.11","dst":"10.244.1.21","protocol":6,"port":8080,"%s":1}\n'
    path.write_text(record % evil + good % evil)
    outcome = audit(path)
    assert outcome.code == 1
    assert "\x1b" not in outcome.stderr
    assert not any(line.startswith("::error") for line in outcome.stderr.splitlines())


WITHOUT = """
import sys
for name in ("pyarrow", "numpy"):
    sys.modules[name] = None
from netpolc.cli import main
main(sys.argv[1:], prog_name="netpolc")
"""


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--version",), 0, "netpolc "),
        (("audit", "--help"), 0, "Usage: netpolc audit"),
        (("audit", "-", *POLICIES), 2, "pip install netpolc[audit]"),
        (("eval", POLICIES[1], "--flows", "-"), 2, "NumPy: pip install netpolc[matcher]"),
    ],
)
def test_pyarrow_and_numpy_are_wanted_by_logs_alone(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


WITHOUT_PYARROW = WITHOUT.replace('("pyarrow", "numpy")', '("pyarrow",)')


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (b"src,dst,protocol,port\n10.244.1.11,10.244.1.21,tcp,8080\n", 0, "tcp,8080,ALLOW\n"),
        (b'{"src":"10.244.1.11","dst":"10.244.1.21","protocol":6,"port":1}\n', 0, '"DENY"}\n'),
        (HUBBLE, 2, "logs of format hubble need pyarrow: pip install netpolc[audit]"),
        (zstd(HUBBLE), 2, "zstd is unpacked by pyarrow: pip install netpolc[audit]"),
    ],
)
def test_rows_of_our_own_names_are_judged_without_pyarrow(
    content: bytes, code: int, message: str
) -> None:
    command = [sys.executable, "-c", WITHOUT_PYARROW, "eval", POLICIES[1], "--flows", "-"]
    done = subprocess.run(command, capture_output=True, input=content)
    assert done.returncode == code, done.stderr
    assert message in (done.stdout + done.stderr).decode()
