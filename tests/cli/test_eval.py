"""`netpolc eval`: one flow with its reasons, logs by the row."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import netpolc
from netpolc.cli import main
from netpolc.core.nets import format_address
from tests.helpers.scenarios import ROOT, everything, read

FOLDER = ROOT / "examples" / "three-tier"
MANIFESTS = [str(path) for path in read(FOLDER).manifests]
FRONTEND, BACKEND = "production/frontend-1", "production/backend-1"


def run(*arguments: str, log: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["eval", *MANIFESTS, *arguments], input=log)


def test_an_allowed_flow_and_who_decided() -> None:
    result = run("--src", FRONTEND, "--dst", BACKEND, "--port", "8080")
    assert result.exit_code == 0, result.output
    assert result.output.startswith("ALLOW 10.")
    assert "policies.yaml:" in result.output
    assert f"egress  allowed {FRONTEND}: production/" in result.output


def test_what_an_audited_policy_would_deny() -> None:
    snapshot = str(ROOT / "tests/cases/audit-neither-denies-nor-opens/input.yaml")
    arguments = [snapshot, "--src", "203.0.113.7", "--dst", "x/b", "--port", "80"]
    result = CliRunner().invoke(main, ["eval", *arguments])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("ALLOW 203.0.113.7 -> 10.244.0.2 TCP/80\n")
    assert "  ingress allowed x/b: no policy isolates the pod\n" in result.output
    would = "  ingress audit   x/b: would be denied: isolated, and no rule accepts (x/b-tried at "
    assert would in result.output


def test_a_denied_flow_and_what_isolates() -> None:
    result = run("--src", FRONTEND, "--dst", BACKEND, "--port", "1")
    assert result.exit_code == 1
    assert "DENY" in result.output
    assert "isolated, and no rule accepts (production/" in result.output


@pytest.mark.parametrize("scenario", everything(), ids=lambda s: s.name)
def test_it_agrees_with_the_flows(scenario: object) -> None:
    """One line of each flows.txt by the command, all of them by the log."""
    from tests.helpers.scenarios import Scenario

    assert isinstance(scenario, Scenario)
    paths = [str(path) for path in scenario.manifests]
    lines, wanted = ["src,dst,protocol,port"], []
    for expected in scenario.expected:
        if not expected.source.startswith("node:") and not expected.destination.startswith("node:"):
            lines.append(
                f"{expected.source},{expected.destination},{expected.protocol},"
                f"{'' if expected.port is None else expected.port}"
            )
            wanted.append("ALLOW" if expected.allowed else "DENY")
    how = ["--semantics", scenario.semantics, "--odd-objects", scenario.odd_objects]
    arguments = ["eval", *paths, *how, "--flows", "-"]
    result = CliRunner().invoke(main, arguments, input="\n".join(lines))
    assert result.exit_code == 0, result.output
    assert [row["verdict"] for row in csv.DictReader(io.StringIO(result.stdout))] == wanted
    one = scenario.expected[0]
    port = [] if one.port is None else ["--port", str(one.port)]
    arguments[-2:] = ["--src", one.source, "--dst", one.destination, "--protocol", one.protocol]
    result = CliRunner().invoke(main, [*arguments, *port])
    assert result.exit_code == (0 if one.allowed else 1), result.output


def test_icmp_has_a_number_in_each_family() -> None:
    result = run("--src", "2001:db8::7", "--dst", "production/frontend-1", "--protocol", "ICMP")
    assert "protocol 58" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --src and --dst, or --flows"),
        (["--src", FRONTEND], "give --src and --dst, or --flows"),
        (["--src", FRONTEND, "--dst", BACKEND, "--flows", "-"], "give --src and --dst"),
        (["--src", FRONTEND, "--dst", BACKEND, "--port", "1", "-o", "xml"], "'xml' is not one of"),
        (["--src", FRONTEND, "--dst", BACKEND, "--port", "1-2"], "'1-2' is no port: give one"),
        (["--flows", "-", "-o", "json"], "--flows writes the form of the log"),
        (["--flows", "-", "--port", "80"], "give --src and --dst, or --flows"),
        (["--src", FRONTEND, "--dst", BACKEND], "needs a port"),
        (
            ["--src", FRONTEND, "--dst", "no/such", "--port", "1"],
            "unknown pod or workload",
        ),
        (["--src", FRONTEND, "--dst", "node:no", "--port", "1"], "unknown node 'no'"),
        (["--src", FRONTEND, "--dst", "nothing", "--port", "1"], "no namespace/name"),
        (["--src", FRONTEND, "--dst", BACKEND, "--protocol", "QUIC"], "unknown protocol"),
        (["--flows", "/no/such/file"], "cannot read /no/such/file"),
    ],
)
def test_usage(arguments: list[str], message: str) -> None:
    result = run(*arguments, log="")
    assert result.exit_code == 2
    assert message in result.output


def test_a_log_with_bad_rows_among_the_good() -> None:
    log = "\r\n".join(
        [
            "",
            "when,port,src,dst,protocol",
            f"noon,8080,{FRONTEND},{BACKEND},TCP",
            f"noon,1,{FRONTEND},{BACKEND},6",
            f'"a, quoted",99999,{FRONTEND},{BACKEND},TCP',
            "",
            f"noon,80,10.0.0.256,{BACKEND},TCP",
            "noon,80,10.0.0.1",
            f"noon,80,no/such,{BACKEND},TCP",
            "noon,80,2001:db8::1,10.0.0.1,TCP",
            f"noon,,{FRONTEND},{BACKEND},UDP",
            f"noon,http,{FRONTEND},{BACKEND},TCP",
            f"noon,80,{FRONTEND},{BACKEND},QUIC",
        ]
    )
    result = run("--flows", "-", log=log)
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["verdict"] for row in rows] == ["ALLOW", "DENY"] + ["INVALID"] * 8
    assert rows[2]["when"] == "a, quoted"
    for line in (5, 7, 8, 9, 10, 11, 12, 13):
        assert f"standard input:{line}: " in result.stderr
    for problem in (
        "octet",
        "3 fields",
        "unknown pod or workload 'no/such'",
        "needs a port",
        "QUIC",
    ):
        assert problem in result.stderr
    assert "10 flows: 1 allowed, 1 denied, 8 invalid" in result.stderr


def test_json_lines(tmp_path: Path) -> None:
    flow = {"src": FRONTEND, "dst": BACKEND, "protocol": "TCP", "port": 8080, "bytes": 7}
    lines = [
        flow, {**flow, "port": 1}, {**flow, "port": "8080"}, {**flow, "port": None},
        {"src": FRONTEND}, 7, {**flow, "protocol": 6.5}, {**flow, "src": None},
    ]  # fmt: skip
    log = "\n".join(["", *map(json.dumps, lines), "{nonsense"])
    path, out = tmp_path / "flows.jsonl", tmp_path / "judged.jsonl"
    path.write_text(log)
    result = run("--flows", str(path), "--file", str(out))
    assert result.exit_code == 1
    judged = [json.loads(line) for line in out.read_text().splitlines()]
    verdicts = [row["verdict"] for row in judged]
    assert verdicts == ["ALLOW", "DENY", "ALLOW"] + ["INVALID"] * 6
    assert judged[0] == {**flow, "verdict": "ALLOW"}
    assert f"{path}:10: " in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["flows.jsonl", "judged.jsonl"]


def test_bytes_that_are_no_text() -> None:
    log = b"src,dst,protocol,port,note\n10.0.0.1,10.0.0.2,17,53,\xff\xfe\n\xff,10.0.0.2,17,53,\n"
    result = run("--flows", "-", log=log)
    assert result.stdout_bytes.splitlines()[1].startswith(b"10.0.0.1,10.0.0.2,17,53,\xff\xfe,")
    assert result.stdout_bytes.splitlines()[2].endswith(b",INVALID")


@pytest.mark.parametrize(
    ("log", "message"),
    [
        ("", "empty"),
        ("src,dst\n", "no column protocol, port"),
        ("src,src,dst,protocol,port", "src"),
    ],
)
def test_logs_that_are_none(log: str, message: str) -> None:
    result = run("--flows", "-", log=log)
    assert result.exit_code == 2
    assert message in result.stderr


def test_more_rows_than_a_block_and_an_unwritable_output(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, size in (
        ("rowwise.rows.BLOCK", 7),
        ("rowwise.rows.CHUNK", 200),
        ("sources.BLOCK", 100),
    ):
        monkeypatch.setattr(f"netpolc.flows.{name}", size)
    program = read(FOLDER).program()
    source, destination = (
        format_address(netpolc.flows_between(program, end, end, 1, None)[0].source)
        for end in (FRONTEND, BACKEND)
    )
    rows = [f"{source},{destination},TCP,{8080 if n % 3 else 1}" for n in range(50)]
    log = "\n".join(["src,dst,protocol,port", *rows])
    result = run("--flows", "-", log=log)
    verdicts = [row["verdict"] for row in csv.DictReader(io.StringIO(result.stdout))]
    assert verdicts == ["ALLOW" if n % 3 else "DENY" for n in range(50)]
    result = run("--flows", "-", "--file", str(tmp_path / "no" / "such"), log=log)
    assert result.exit_code == 3
    assert "cannot write" in result.stderr


def test_rows_without_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    log = "\r\n".join(
        [
            "port,src,dst,protocol,note",
            f"8080,{FRONTEND},{BACKEND},TCP,a",
            "",
            f"1, {FRONTEND},{BACKEND},6,b",
            "80,10.0.0.1",
            f"8080,{FRONTEND},{BACKEND},TCP,c,d",
            f"8080,{FRONTEND},{BACKEND},TCP,-",
            f"8080,{FRONTEND},{BACKEND},TCP,=A1",
        ]
    )
    for name in (
        "rowwise.rows.CHUNK",
        "sources.BLOCK",
    ):  # the last rows are in a block of their own
        monkeypatch.setattr(f"netpolc.flows.{name}", 200)
    result = run("--flows", "-", log=log)
    assert result.stdout.splitlines() == [
        "port,src,dst,protocol,note,verdict",
        f"8080,{FRONTEND},{BACKEND},TCP,a,ALLOW",
        f"1, {FRONTEND},{BACKEND},6,b,DENY",
        "80,10.0.0.1,,,,INVALID",
        f"8080,{FRONTEND},{BACKEND},TCP,c,INVALID",
        f"8080,{FRONTEND},{BACKEND},TCP,-,ALLOW",
        f"8080,{FRONTEND},{BACKEND},TCP,'=A1,ALLOW",
    ]
    assert "standard input:5: 2 fields, the header has 5\n" in result.stderr
    assert "standard input:6: 6 fields, the header has 5\n" in result.stderr
    assert "6 flows: 3 allowed, 1 denied, 2 invalid" in result.stderr
