"""`netpolc apply --watch` and a real kernel: the table follows the folder, and stays at the end.

In: a folder of manifests that changes. Out: what is loaded, what is said, how it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
COMMAND = [sys.executable, "-m", "netpolc"]


def test_the_table_follows_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    shutil.copytree(ROOT / "examples" / "three-tier", folder)
    arguments = [*COMMAND, "apply", "--watch", str(folder), "--node", "node-a"]
    with (
        Router() as router,
        router.call(
            lambda: subprocess.Popen(
                arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
            )
        ) as watching,
    ):
        try:
            assert watching.stdout is not None
            assert watching.stderr is not None
            first = watching.stdout.readline()
            assert "loaded table inet netpolc for node node-a: sha256:" in first
            assert "drop_e_" in router.ruleset()

            policies = folder / "policies.yaml"
            kept = policies.read_text()
            policies.write_text("kind: NetworkPolicy")
            assert str(policies) in watching.stderr.readline()
            assert "drop_e_" in router.ruleset()

            (folder / "policies.new").write_text(kept.replace("port: 8080", "port: 8081"))
            (folder / "policies.new").replace(policies)
            second = watching.stdout.readline()
            assert "(6 elements added, 6 elements removed, 4 objects made or deleted)" in second
            status = [*COMMAND, "status", str(folder), "--node", "node-a", "-o", "json"]
            told = router.call(lambda: subprocess.check_output(status, cwd=ROOT))
            assert json.loads(told)["matches"] is True
        finally:
            watching.terminate()
        assert watching.wait(20) == 0
        assert "drop_e_" in router.ruleset()


def test_folders_in_folders_are_watched_to_the_last(tmp_path: Path) -> None:
    """1,200 of them, more than Python recurses, with the policies in the last."""
    top = tmp_path / "manifests"
    shutil.copytree(ROOT / "examples" / "three-tier", top)
    policies = (top / "policies.yaml").read_text()
    (top / "policies.yaml").unlink()
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(top)
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        last = os.open(".", os.O_RDONLY)
        write_into(last, policies)
        os.fchdir(here)
        arguments = [*COMMAND, "apply", "--watch", str(top), "--node", "node-a"]
        with (
            Router() as router,
            router.call(
                lambda: subprocess.Popen(
                    arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
                )
            ) as watching,
        ):
            try:
                assert watching.stdout is not None
                assert "loaded table inet netpolc" in watching.stdout.readline()
                write_into(last, policies.replace("port: 8080", "port: 8081"))
                assert "updated table inet netpolc" in watching.stdout.readline()
            finally:
                watching.terminate()
            assert watching.stderr is not None
            assert watching.stderr.read() == ""
            assert watching.wait(20) == 0
    finally:
        os.fchdir(here)
        subprocess.run(["rm", "-rf", top], check=True)


def write_into(folder: int, text: str) -> None:
    """A whole file of policies, in a folder whose name is too long to be written down."""
    with open(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=folder), "w") as out:
        out.write(text)
    os.rename("new", "policies.yaml", src_dir_fd=folder, dst_dir_fd=folder)
