"""Whatever dies during a rollout, the exit code and the message say which table is in force.

In: every step of `netpolc apply`, each failing in every way (`faults.py`). Out: exit code 0 with
the new table, another with the old one, or a message that names what is in force.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
PLANS = {
    "plain": (),
    "save": ("--save", "FOLDER/before.nft"),
    "flush": ("--verify", "--flush-conntrack"),
    "recheck": ("--verify", "--established", "recheck"),
    "confirm": ("--verify", "--confirm", "1s"),
}
AGAIN = "what was loaded before is in force again"
NOTHING = "nothing was changed: what was loaded before is in force"
NEW = re.compile(r"the new table inet netpolc is in force: sha256:\w+")
KEPT = re.compile(r"`nft -f (/run/netpolc/previous-\w+\.nft)` brings back")
GUARDED = "unless it is confirmed, the guard takes it back at "
every_plan = pytest.mark.parametrize("plan", PLANS)


def outcomes(
    router: Router, folder: Path, plan: str, *kinds: str, via: str = "netlink"
) -> Iterator[dict[str, Any]]:
    options = ["--via", via] + [own.replace("FOLDER", str(folder)) for own in PLANS[plan]]
    command = [sys.executable, "-m", "tests.helpers.faults", ",".join(kinds), str(folder), *options]
    found: dict[str, list[dict[str, Any]]] = json.loads(
        router.call(lambda: subprocess.check_output(command, cwd=ROOT))
    )
    for kind, steps in found.items():
        assert len(steps) > 2, f"{kind}: there was nothing to fail"
        for number, own in enumerate(steps):
            own["fault"] = f"{kind} at step {number + 1}"
            assert own["table"] in ("old", "new"), own
            yield own


@every_plan
@pytest.mark.parametrize(
    ("via", "kinds"),
    [
        ("netlink", ("refuse-before", "refuse-after", "generation")),
        ("nft", ("die-before", "die-after", "refuse-after")),
    ],
)
def test_what_fails_once(
    via: str, kinds: Sequence[str], plan: str, router: Router, tmp_path: Path
) -> None:
    for own in outcomes(router, tmp_path, plan, *kinds, via=via):
        if own["ended"] == 0:
            assert own["table"] == "new", own
        elif plan == "confirm" and GUARDED in own["said"]:
            assert own["ended"] == 3, own  # it was loaded and read back; the guard goes on
        elif own["table"] == "new":
            # Only where nothing was saved that could be gone back to.
            assert plan == "plain", own
            assert (own["ended"], bool(NEW.search(own["said"]))) == (3, True), own
        else:  # 1: nobody confirmed what was then loaded whole
            assert own["ended"] == 3 or "not confirmed: " in own["said"], own


@every_plan
@pytest.mark.parametrize(
    ("number", "moments"),
    [
        (signal.SIGINT, ("before", "after")),
        (signal.SIGTERM, ("after",)),  # the three are treated alike
        (signal.SIGHUP, ("before",)),
    ],
)
def test_signals_at_each_step(
    number: signal.Signals, moments: Sequence[str], plan: str, router: Router, tmp_path: Path
) -> None:
    told = 0
    for own in outcomes(router, tmp_path, plan, *(f"{number.name}-{own}" for own in moments)):
        said, table = own["said"], own["table"]
        if re.search(rf"netpolc: (interrupted( by {number.name})?|terminated)$", said, re.M):
            told += AGAIN in said or NOTHING in said or table == "new"
            assert own["ended"] == (3 if table == "new" else 128 + number), own
            assert table == "old" or NEW.search(said), own
            assert table == "old" or plan == "plain", own
        elif own["ended"] == 0:
            assert table == "new", own
        elif plan == "confirm" and (own["ended"], table) == (-signal.SIGHUP, "new"):
            pass  # the terminal is gone, and the guard goes on (test_confirm.py)
        else:  # before anything was sent, or while it waited to be confirmed
            assert table == "old", own
    assert told


@every_plan
def test_kills_at_each_step(plan: str, router: Router, tmp_path: Path) -> None:
    """A transaction is whole or not at all; which of them, `netpolc status` tells."""
    found = list(outcomes(router, tmp_path, plan, "SIGKILL-before", "SIGKILL-after"))
    assert {own["ended"] for own in found} >= {-signal.SIGKILL}


@every_plan
def test_libnftables_that_stays_dead(plan: str, router: Router, tmp_path: Path) -> None:
    """Then nothing can be taken back, and the file that does so is named."""
    kept = 0
    for own in outcomes(router, tmp_path, plan, "dead-after", via="nft"):
        if own["table"] == "new" and own["ended"] != 0:
            assert own["ended"] == 3, own
            if plan == "confirm" and GUARDED in own["said"]:
                continue  # its libnftables is another
            assert "it was not taken back" in own["said"], own
            assert NEW.search(own["said"]), own  # it is read without libnftables
            file = KEPT.search(own["said"])
            assert (file is None) == (plan == "plain"), own
            kept += file is not None
            if file is not None and plan != "confirm":  # there the guard has used it by now
                router.run("nft", "-f", file[1])
                Path(file[1]).unlink()
    assert kept or plan == "plain"
