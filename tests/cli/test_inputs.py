"""The digest of all that decides about a ruleset: every option and every file is in it, or is known
not to decide.

In: one thing that is another. Out: another digest, or none at all.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from netpolc.backends.nft import Options
from netpolc.backends.nft.rollout import runtime
from netpolc.cli.inputs import Inputs
from netpolc.cli.options import Reading
from netpolc.cli.settings import Settings
from netpolc.manifests.rendering import Values

POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x, namespace: default}
spec: {podSelector: {}}
"""
READING = Reading("current", True, False)
IN_THE_DIGEST: dict[str, Any] = {
    "semantics": "v1.6",
    "strict": False,
    "node_addresses": (("node-a", 1),),
    "exclude": ("nothing",),
    "default_namespace": "other",
    "unread": "error",
}
WITHOUT_A_DIGEST: dict[str, Any] = {
    "raw": True,
    "values": Values(),
    "is_configured": False,
    "settings": Settings(exclude=("x",)),
    "cluster": object(),
}
NOT_DECIDING: dict[str, Any] = {"verbose": True, "odd_objects": "isolate"}
"""Only of what is said, and of snapshots of which something is said."""
OPTIONS: dict[str, tuple[Options, Options]] = {
    "table": (Options(), Options("netpolc_x")),
    "hook": (Options(priority=5), Options(priority=5, hook="postrouting")),
    "priority": (Options(), Options(priority=-6)),
    "deny": (Options(), Options(deny="reject")),
    "log": (Options(), Options(log="9/day")),
    "audit": (Options(), Options(audit=True)),
    "established": (Options(), Options(established="recheck")),
    "mark_mask": (
        Options(established="recheck"),
        Options(established="recheck", mark_mask=0xFF000000),
    ),
    "pod_bridges": (Options(), Options(pod_bridges=("br0",))),
    "pending": (Options(), Options(pending="deny")),
    "pod_cidrs": (
        Options(pending="deny"),
        Options(pending="deny", pod_cidrs=("10.0.0.0/24",)),
    ),
}


@pytest.fixture(autouse=True)
def run_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "FOLDER", tmp_path_factory.mktemp("run") / "netpolc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.yaml").write_text(POLICY)
    return tmp_path


def digest(
    folder: Path,
    reading: Reading = READING,
    options: Options | None = None,
    node: str | None = "node-a",
) -> str | None:
    asked = Inputs.of((str(folder),), reading, node, False, notes=True)
    files = asked.files() if asked is not None else None
    if asked is None or files is None:
        return None
    return asked.digest(files, asked.locals[0], options or Options())


def test_every_way_of_reading_is_decided_about() -> None:
    named = {own.name for own in fields(Reading)}
    assert named == {*IN_THE_DIGEST, *WITHOUT_A_DIGEST, *NOT_DECIDING}
    assert {own.name for own in fields(Options)} == {*OPTIONS}


@pytest.mark.parametrize("name", IN_THE_DIGEST)
def test_another_way_of_reading_is_another_digest(name: str, folder: Path) -> None:
    found = digest(folder, replace(READING, **{name: IN_THE_DIGEST[name]}))
    assert found is not None
    assert found != digest(folder)


@pytest.mark.parametrize("name", WITHOUT_A_DIGEST)
def test_what_no_file_holds_has_no_digest(name: str, folder: Path) -> None:
    assert digest(folder) is not None
    assert digest(folder, replace(READING, **{name: WITHOUT_A_DIGEST[name]})) is None


@pytest.mark.parametrize("name", NOT_DECIDING)
def test_what_is_only_said_is_the_same_digest(name: str, folder: Path) -> None:
    assert digest(folder, replace(READING, **{name: NOT_DECIDING[name]})) == digest(folder)


@pytest.mark.parametrize("name", OPTIONS)
def test_another_option_of_the_table_is_another_digest(name: str, folder: Path) -> None:
    one, other = OPTIONS[name]
    assert digest(folder, options=one) != digest(folder, options=other)


def test_a_default_is_what_it_stands_for(folder: Path) -> None:
    """`status` takes the options from the table, where each has its value."""
    chosen = Options(pending="deny", pod_cidrs=("10.0.0.0/24",))
    words = " ".join((chosen.describe(), chosen.describe_bridges(), chosen.describe_pending()))
    found = Options.from_description("netpolc", words)
    assert found.priority is not None
    assert digest(folder, options=found) == digest(folder, options=chosen)


def test_who_names_the_node_is_told_apart_from_who_is_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host may be several nodes by its name; the cluster says which of them it is."""
    monkeypatch.setattr("socket.gethostname", lambda: "node-a")
    assert digest(folder, node=None) != digest(folder)


def test_files_between_which_nobody_can_tell_are_none(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "link").symlink_to("/usr", target_is_directory=True)  # not followed, which is told
    assert digest(folder) is None
    (folder / "link").unlink()
    assert digest(folder) is not None
    (folder / "sub" / "kustomization.yaml").write_text("resources: []\n")
    assert digest(folder) is None


@pytest.mark.parametrize("path", ["-", "/dev/null", "absent"])
def test_what_can_be_read_only_once_has_no_digest(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "-").write_text(POLICY)
    assert Inputs.of((path,), READING, "node-a", False, notes=True) is None


def test_both_a_node_and_all_pods_is_for_the_long_way_to_refuse(folder: Path) -> None:
    assert Inputs.of((str(folder),), READING, "node-a", True, notes=True) is None


def test_the_secret_is_made_by_whoever_notes_and_is_nobody_elses(folder: Path) -> None:
    path = runtime.FOLDER / "secret"
    assert runtime.secret(make=False) is None
    assert Inputs.of((str(folder),), READING, "node-a", False) is None
    assert not runtime.FOLDER.exists()
    found = digest(folder)
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_bytes()) == 32
    assert digest(folder) == found
    assert Inputs.of((str(folder),), READING, "node-a", False) is not None
    path.chmod(0o644)  # somebody may have read it
    assert runtime.secret(make=False) is None
    assert digest(folder) not in (None, found)
    path.unlink()
    path.symlink_to("/dev/zero")
    assert digest(folder) is None
