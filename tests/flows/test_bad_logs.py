"""Bad logs: each a sentence with its place, exit code 2 (1 with --keep-going), and no file."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.invocation import Outcome, invoke
from tests.flows.writers import FLOWS, WRITERS, zstd
from tests.helpers.scenarios import ROOT

POLICIES = ("--policies", str(ROOT / "examples" / "three-tier"))
HUBBLE = WRITERS["hubble"](FLOWS)
STRANGERS = b"src,dst,protocol,port\n192.0.2.1,192.0.2.2,tcp,80\n192.0.2.1,shop/web-1,tcp,80\n"


def audit(path: Path, *arguments: str) -> Outcome:
    return invoke("audit", str(path), *POLICIES, *arguments)


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"", (), "log: the log is empty"),
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
    content: bytes, arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    path, file = tmp_path / "log", tmp_path / "out.json"
    path.write_bytes(content)
    file.write_text("as it was")
    outcome = audit(path, *arguments, "-o", "json", "--file", str(file))
    assert outcome.code == 2, outcome
    assert message in outcome.stderr
    assert outcome.stdout == ""
    assert file.read_text() == "as it was"
    assert [own.name for own in tmp_path.iterdir() if own.name not in ("log", "out.json")] == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (
            lambda log: log + b'{"nobody": 1}\n{"x"\n{"y"\n',
            "log:11: no record of this format (2 in",
        ),
        (lambda log: gzip.compress(log)[:-4], "log: it cannot be read to its end"),
        (lambda log: b"rubbish\n" + log, "log:1: no record of this format\n"),
    ],
)
def test_keep_going_counts_and_goes_on(
    spoil: Callable[[bytes], bytes], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    path.write_bytes(spoil(HUBBLE))
    outcome = audit(path, "--keep-going", "--format", "hubble")
    assert outcome.code == 1
    assert told in outcome.stderr


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
    ],
)
def test_pyarrow_is_wanted_by_an_audit_alone(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    command = [sys.executable, "-c", WITHOUT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stderr
    assert message in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
