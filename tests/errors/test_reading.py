"""What lies in folders and files, however it is made: read, or refused by its name.

In: folders, pipes, names and sizes that nobody meant. Out: a message, exit code 2, no traceback, no
wait without end, and no memory asked for that the content does not need.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import netpolc
from netpolc.core.errors import Problems
from netpolc.manifests import File, read
from tests.cli.invocation import invoke, program, run

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"


@pytest.mark.parametrize("given", ["a.yaml", "-"])
def test_a_small_manifest_needs_little_memory(given: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(NAMESPACE)
    with path.open() as stdin:
        done = subprocess.run(
            [program(), "check", given],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)),
            cwd=tmp_path,
            stdin=stdin,
            capture_output=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_does_not_fit_in_memory_is_refused_by_its_name(tmp_path: Path) -> None:
    with (tmp_path / "large.json").open("wb") as stream:
        stream.truncate(3 << 30)
    done = subprocess.run(
        [program(), "check", "large.json"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("large.json: error NP001: does not fit in the memory there is\n")
    assert (done.returncode, done.stderr) == (2, "")


def test_what_is_larger_than_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netpolc.manifests.files.MAX_BYTES", 1000)
    (tmp_path / "a.yaml").write_text(NAMESPACE + "#" * 1000)
    outcome = invoke("compile", str(tmp_path))
    assert outcome.stderr == f"{tmp_path}/a.yaml: larger than 0 GiB\nnetpolc: 1 error\n"
    assert invoke("compile", "-", stdin=NAMESPACE.encode() + b"#" * 1000).code == 2


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """1,200 folders in each other with a manifest in the last, gone afterwards."""
    here = os.open(".", os.O_RDONLY)
    top = tmp_path / "deep"
    top.mkdir()
    try:
        os.chdir(top)
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        Path("a.yaml").write_text(NAMESPACE)
        os.fchdir(here)
        yield top
    finally:
        os.fchdir(here)
        os.close(here)
        subprocess.run(["rm", "-rf", top], check=True)


def test_folders_in_folders_are_read_to_the_last(deep: Path) -> None:
    assert set(netpolc.load([str(deep)]).cluster.namespaces) == {"a"}
    outcome = invoke("list", str(deep))  # which looks for kustomizations first
    assert (outcome.code, "Traceback" in outcome.stderr) == (0, False)


def test_folders_beyond_what_a_path_can_say_are_told(tmp_path: Path) -> None:
    top = tmp_path / "long"
    top.mkdir()
    name = "d" * 250
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(top)
        for _ in range(20):
            os.mkdir(name)
            os.chdir(name)
        os.fchdir(here)
        outcome = invoke("compile", str(top))
    finally:
        os.fchdir(here)
        os.close(here)
        shutil.rmtree(top)
    assert "File name too long" in outcome.stderr
    assert outcome.code == 2


def test_what_is_no_file_is_told_and_hides_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "gone.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "null.yaml").symlink_to("/dev/null")
    (tmp_path / "z.yaml").write_text("kind: Nothing\n")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.json"))
        outcome = run("compile", ".", cwd=tmp_path, timeout=120)
    said = {line.partition(": ")[0] for line in outcome.stderr.splitlines()[:-1]}
    names = {"pipe.yaml", "loop.yaml", "gone.yaml", "null.yaml", "socket.json", "z.yaml:1:1"}
    assert said == {f"./{name}" for name in names}
    assert outcome.code == 2


def test_a_file_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.yaml")
    with pytest.raises(OSError, match="is not a regular file"):
        File(str(tmp_path / "a.yaml")).read()


def test_a_pipe_that_is_given_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=(NAMESPACE,))
    writer.start()
    problems = Problems()
    documents = list(read([str(path)], problems))
    writer.join()
    assert [found.kind for found in documents] == ["Namespace"]
    assert not problems.diagnostics


@pytest.mark.parametrize("kind", ["Pod", "Namespace", "Deployment"])
@pytest.mark.parametrize("key", ["netpolc.dev/ignore", "a", "x.y/z[0]"])
def test_annotations_that_are_no_text_are_refused_at_their_place(
    kind: str, key: str, tmp_path: Path
) -> None:
    version = "apps/v1" if kind == "Deployment" else "v1"
    metadata = f'metadata:\n  name: a\n  annotations: {{"{key}": 5}}\n'
    (tmp_path / "a.yaml").write_text(f"apiVersion: {version}\nkind: {kind}\n{metadata}")
    outcome = run("check", "a.yaml", cwd=tmp_path)
    assert outcome.code == 2
    assert outcome.stdout.startswith("a.yaml:5:"), outcome.stdout
    is_decoded = kind == "Namespace" or key == "netpolc.dev/ignore"
    said = "Expected str" if is_decoded else "Invalid value: 5: must be of type string"
    assert f"metadata.annotations[{key}]: {said}" in outcome.stdout


LABEL = "a valid label must be an empty string or consist of alphanumeric characters"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("{version: 1.0}", "5:21: error NP001: metadata.labels[version]: Invalid value: 1.0: must"),
        ("{keep: yes}", "5:18: error NP001: metadata.labels[keep]: Invalid value: true: must be"),
        ("{team: a b}", f'5:11: error NP001: metadata.labels: Invalid value: "a b": {LABEL}'),
        ("[a]", '5:11: error NP001: metadata.labels: Invalid value: ["a"]: must be of type object'),
        ("{empty: null, app: web}", ""),
    ],
)
@pytest.mark.parametrize("kind", ["NetworkPolicy", "BaselineAdminNetworkPolicy"])
def test_labels_of_policies_that_no_api_server_takes(
    kind: str, labels: str, said: str, tmp_path: Path
) -> None:
    """kubectl refuses such a policy before it is sent: nothing enforces what was checked here."""
    group = "networking.k8s.io/v1"
    spec = "{podSelector: {}}"
    if kind != "NetworkPolicy":
        group, spec = "policy.networking.k8s.io/v1alpha1", "{subject: {namespaces: {}}}"
    metadata = f"metadata:\n  name: default\n  labels: {labels}\n"
    text = f"apiVersion: {group}\nkind: {kind}\n{metadata}spec: {spec}\n"
    (tmp_path / "a.yaml").write_text(text)
    outcome = run("check", "a.yaml", cwd=tmp_path)
    assert (outcome.code == 2) == bool(said), outcome.stdout
    assert f"a.yaml:{said}" in outcome.stdout or not said


@pytest.mark.parametrize("shape", ["one key", "pairs"])
@pytest.mark.parametrize("form", ["yaml", "json"])
def test_duplicate_keys_by_the_ten_thousand_are_refused(
    shape: str, form: str, tmp_path: Path
) -> None:
    """Their number squared would be minutes."""
    times = 60_000 if shape == "one key" else 2
    keys = ", ".join(f'"a{number // times}": "x"' for number in range(60_000))
    text = (
        '{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "a", '
        f'"annotations": {{{keys}}}}}, "spec": {{"podSelector": {{}}}}}}'
    )
    (tmp_path / f"a.{form}").write_text(text if form == "json" else f"# YAML\n{text}")
    outcome = run("compile", f"a.{form}", cwd=tmp_path, timeout=600)
    assert outcome.code == 2
    expected = 1 if shape == "one key" else 30_000
    assert outcome.stderr.count("duplicate field") == expected


def test_deep_aliases_are_refused(tmp_path: Path) -> None:
    lines = "".join(f"- &a{number} [*a{number - 1}]\n" for number in range(1, 3000))
    (tmp_path / "a.yaml").write_text(f"- &a0 x\n{lines}")
    outcome = run("compile", "a.yaml", cwd=tmp_path)
    assert "aliases nest more than 100 levels deep" in outcome.stderr
    assert outcome.code == 2


@pytest.mark.parametrize("data", [b"\0{}", b"{\0}\n", b"{\0\0\0}", b"\0\0\0{"])
def test_zero_bytes_in_json_are_told_where_they_are(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(data)
    outcome = run("compile", "a.json", cwd=tmp_path)
    assert outcome.stderr.startswith(f"a.json:1:{data.index(0) + 1}: broken JSON: ")
    assert outcome.code == 2


def test_numbers_of_any_length_beside_a_fault_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": ' + "9" * 5000 + ', "b"}')
    outcome = run("compile", "a.json", cwd=tmp_path)
    assert outcome.stderr.startswith("a.json:1:5012: broken JSON: ")
    assert outcome.code == 2


def test_a_ruleset_that_nests_too_deeply_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        '{"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"}}'
    )
    (tmp_path / "r.json").write_text('{"a":' * 5000)
    outcome = run("verify", "a.json", "--all-pods", "--ruleset", "r.json", cwd=tmp_path)
    assert outcome.stderr.startswith("netpolc: not libnftables JSON: ")
    assert outcome.code == 2
