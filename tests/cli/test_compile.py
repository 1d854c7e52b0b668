"""`netpolc compile`: where it writes, what it writes, and that it writes whole files or none.

In: the three-tier example. Out: text, JSON and tuples; one file a node.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

import netpolc
from tests.cli.invocation import invoke, program, run
from tests.cli.snapshots import EXAMPLE, NODES, objects

SNAPSHOT = str(EXAMPLE)


def ruleset(node: str | None = None) -> netpolc.Ruleset:
    return netpolc.compile(netpolc.load([SNAPSHOT])).ruleset(node)


def test_print_write_and_library_agree(tmp_path: Path) -> None:
    expected = ruleset().text()
    assert invoke("compile", SNAPSHOT).stdout == expected
    assert invoke("compile", SNAPSHOT, "--file", "-").stdout == expected
    outcome = invoke("compile", SNAPSHOT, "--file", str(tmp_path / "all.nft"))
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert (tmp_path / "all.nft").read_text() == expected
    assert os.listdir(tmp_path) == ["all.nft"]


def test_forms() -> None:
    program_ = netpolc.compile(netpolc.load([SNAPSHOT]))
    for node in (None, *NODES):
        chosen = ["--node", node] if node else []
        text = invoke("compile", SNAPSHOT, "-o", "nft", *chosen).stdout
        assert text == program_.ruleset(node).text()
        form = invoke("compile", SNAPSHOT, "-o", "json", *chosen).stdout
        assert form == program_.ruleset(node).json()
        assert [next(iter(command)) for command in json.loads(form)["nftables"]][:3] == [
            "add",
            "delete",
            "add",
        ]
    tuples = invoke("compile", SNAPSHOT, "-o", "ir").stdout
    assert tuples == program_.document()
    assert set(json.loads(tuples)) == {"version", "identities", "combinations"}


@pytest.mark.parametrize("form", ["nft", "json"])
def test_all_nodes_writes_what_each_node_gets(form: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "rulesets"
    outcome = run("compile", SNAPSHOT, "--all-nodes", "-o", form, "--file", str(folder))
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert sorted(os.listdir(folder)) == [f"{node}.{form}" for node in NODES]
    for node in NODES:
        single = invoke("compile", SNAPSHOT, "--node", node, "-o", form).stdout
        assert (folder / f"{node}.{form}").read_bytes() == single.encode()


def test_all_nodes_replaces_old_files_and_leaves_others(tmp_path: Path) -> None:
    (tmp_path / "node-a.nft").write_text("old\n")
    (tmp_path / "notes.txt").write_text("mine\n")
    assert invoke("compile", SNAPSHOT, "--all-nodes", "--file", str(tmp_path)).code == 0
    assert (tmp_path / "node-a.nft").read_text() == ruleset("node-a").text()
    assert (tmp_path / "notes.txt").read_text() == "mine\n"
    assert len(os.listdir(tmp_path)) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--all-nodes"],
        ["--all-nodes", "--node", "node-a", "--file", "out"],
        ["--all-nodes", "-o", "ir", "--file", "out"],
    ],
    ids=" ".join,
)
def test_all_nodes_goes_with_a_folder_only(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = invoke("compile", SNAPSHOT, *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("netpolc: --all-nodes goes with --file FOLDER")
    assert os.listdir(tmp_path) == []


def small_files(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The program where no file may grow beyond 512 bytes: a disk that fills up meanwhile."""
    command = ["/bin/sh", "-c", 'ulimit -f 1; exec "$0" "$@"', program(), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_a_failing_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out.nft").write_text("old\n")
    done = small_files("compile", SNAPSHOT, "--file", "out.nft", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "netpolc: cannot write out.nft: File too large\n"
    assert os.listdir(tmp_path) == ["out.nft"]
    assert (tmp_path / "out.nft").read_text() == "old\n"


def test_a_failing_write_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "node-a.nft").write_text("old\n")
    done = small_files("compile", SNAPSHOT, "--all-nodes", "--file", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "netpolc: cannot write out: File too large\n"
    assert os.listdir(tmp_path / "out") == ["node-a.nft"]
    assert (tmp_path / "out" / "node-a.nft").read_text() == "old\n"


def test_a_failing_rename_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "node-a.nft").write_text("old\n")
    (tmp_path / "node-b.nft").mkdir()
    outcome = run("compile", SNAPSHOT, "--all-nodes", "--file", str(tmp_path))
    assert (outcome.code, outcome.stdout) == (3, "")
    assert sorted(os.listdir(tmp_path)) == ["node-a.nft", "node-b.nft"]
    assert (tmp_path / "node-a.nft").read_text() == "old\n"


def test_an_existing_file_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "node-a.nft"
    target.write_text("old\n")
    with target.open() as reader:
        assert invoke("compile", SNAPSHOT, "--node", "node-a", "--file", str(target)).code == 0
        assert reader.read() == "old\n"  # who reads meanwhile reads the old file to its end
    assert target.read_text() == ruleset("node-a").text()
    assert os.listdir(tmp_path) == ["node-a.nft"]


def test_devices_and_pipes_are_written_to_not_replaced(tmp_path: Path) -> None:
    assert invoke("compile", SNAPSHOT, "--file", "/dev/null").code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert run("compile", SNAPSHOT, "--file", str(pipe)).code == 0
    reader.join(10)
    assert read == [ruleset().text()]
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)


def everything_as_json() -> bytes:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects()}).encode()


def test_stdin() -> None:
    for stdin in (everything_as_json(), b"\n  " + everything_as_json()):
        outcome = run("compile", "-", "--node", "node-a", stdin=stdin)
        assert (outcome.code, outcome.stdout) == (0, ruleset("node-a").text())


def test_stdin_beside_files() -> None:
    policy = (
        b"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        b"metadata: {name: deny, namespace: other}\n"
    )
    outcome = run("compile", SNAPSHOT, "-", stdin=policy)
    assert outcome.code == 0
    assert "other/deny" in outcome.stdout


def test_a_named_pipe_is_a_path(tmp_path: Path) -> None:
    pipe = tmp_path / "manifests"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(everything_as_json()))
    writer.start()
    outcome = run("compile", str(pipe), timeout=120)
    writer.join(10)
    assert (outcome.code, outcome.stdout) == (0, ruleset().text())


def test_a_process_substitution_is_a_path() -> None:
    paths = "<(cat pods.yaml) policies.yaml <(cat nodes.yaml) namespaces.yaml"
    script = f"'{program()}' compile {paths}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=EXAMPLE, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, ruleset().text()), done.stderr


def test_errors_in_a_pipe_have_lines() -> None:
    text = "apiVersion: v1\\nkind: Pod\\nmetadata: {name: Upper}\\n"
    script = f"'{program()}' compile <(printf '{text}')"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert ":3:18: metadata.name: Invalid value: " in done.stderr


def test_a_pipe_inside_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "all.json").write_bytes(everything_as_json())
    try:
        run("compile", str(tmp_path), timeout=120)
    except subprocess.TimeoutExpired:
        pytest.fail("waits for somebody to write")


def test_verbose_names_the_ignored_kinds(tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": "a"}
    }  # fmt: skip
    path = tmp_path / "more.json"
    path.write_text(json.dumps({"kind": "List", "items": [secret, ingress, secret]}))
    verbose = invoke("compile", SNAPSHOT, str(path), "-v")
    assert verbose.stderr == (
        "ignored: 1 networking.k8s.io/v1 IngressClass\nignored: 2 v1 Secret\n"
    )
    silent = invoke("compile", SNAPSHOT, str(path))
    assert silent.stderr.startswith("ignored 3 objects of other kinds ")
    assert "-v" in silent.stderr
    assert silent.stdout == verbose.stdout == ruleset().text()


def test_all_nodes_of_a_snapshot_without_nodes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "namespace.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-a"}})
    )
    folder = tmp_path / "rulesets"
    outcome = run("compile", str(tmp_path), "--all-nodes", "--file", str(folder))
    assert outcome.code == 2
    assert "netpolc: the snapshot has no nodes\n" in outcome.stderr
    assert not folder.exists()
