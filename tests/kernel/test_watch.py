"""`netpolc apply --watch` and a real kernel: the table follows the folder, and stays at the end.

In: a folder of manifests that changes. Out: what is loaded, what is said, how it ends.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab import Router
from tests.scenarios import ROOT

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
            assert second.startswith("updated (elements +6 -6, chains rewritten 0, ")
            status = [*COMMAND, "status", str(folder), "--node", "node-a", "--format", "json"]
            told = router.call(lambda: subprocess.check_output(status, cwd=ROOT))
            assert json.loads(told)["matches"] is True
        finally:
            watching.terminate()
        assert watching.wait(20) == 0
        assert "drop_e_" in router.ruleset()
