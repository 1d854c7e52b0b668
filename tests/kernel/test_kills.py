"""kill -9 at any moment leaves the old or the new table, never a mixture.

In: hundreds of victims, forked or the real program, killed at random moments (seeded). Out: what
`nft` lists afterwards. The kernel ends a dead process's transaction whole or not at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.helpers import kills
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(("kind", "count"), [("load", 200), ("save", 60), ("undo", 60)])
def test_a_killed_process_leaves_one_table_whole(
    kind: str, count: int, router: Router, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.helpers.kills", kind, "1", str(count), str(tmp_path)]
    found = json.loads(router.call(lambda: subprocess.check_output(command, cwd=ROOT)))
    print(kind, found["old"], found["new"])
    assert found["others"] == []
    assert found["old"] + found["new"] == count
    assert min(found["old"], found["new"]) > count // 20, "the kills missed the moment"


def test_the_real_program_killed_leaves_one_table_whole(router: Router) -> None:
    random = Random(1)
    commands = [
        [sys.executable, "-m", "netpolc", "apply", str(ROOT / "examples" / name), "--all-pods"]
        for name in kills.EXAMPLES
    ]
    known, durations = [], []
    for command in commands:
        started = time.perf_counter()
        router.call(lambda own=command: subprocess.check_output(own, cwd=ROOT))  # type: ignore[misc]
        durations.append(time.perf_counter() - started)
        known.append(router.call(kills.listing))
    found = []
    for number in range(24):
        victim = router.call(
            lambda own=commands[number % 2]: subprocess.Popen(  # type: ignore[misc]
                own, cwd=ROOT, stdout=subprocess.DEVNULL
            )
        )
        time.sleep(random.uniform(0.3, 1.7) * min(durations))
        victim.kill()
        victim.wait()
        found.append(router.call(kills.listing))
    assert set(found) == set(known)
