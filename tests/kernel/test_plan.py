"""`apply --plan` and `--dry-run`: what would change is said, and nothing changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.lab import Router

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).parents[2]
SHARED = ("examples/three-tier/pods.yaml", "examples/three-tier/namespaces.yaml")
OLD = ("examples/three-tier",)
NEW = ("examples/proposed.yaml", *SHARED)


def apply(router: Router, *words: str) -> tuple[int, list[str]]:
    command = [sys.executable, "-m", "netpolc", "apply", *words, "--node", "node-a"]
    done = router.call(lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT))
    assert "Traceback" not in done.stderr
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize("asked", ["--plan", "--dry-run"])
def test_a_plan_says_what_opens_and_closes_and_loads_nothing(router: Router, asked: str) -> None:
    assert apply(router, *OLD)[0] == 0
    before = router.ruleset()
    code, lines = apply(router, *NEW, asked)
    assert code == 0
    assert "+ 203.0.113.0/24 -> production/database-1[Pod]: TCP 5432" in lines
    assert "- production/backend-1[Pod] -> production/database-1[Pod]: TCP 5432" in lines
    changed = "~ production/frontend-1[Pod] -> kube-system/coredns[Pod]: UDP 53 => TCP 53,UDP 53"
    assert changed in lines
    assert any("connections: 1 opened, 2 closed, 3 changed" in line for line in lines)
    assert "  map in4: edited" in lines
    assert router.ruleset() == before
    assert any("the kernel would load" in line for line in lines) is (asked == "--dry-run")


def test_the_exit_code_tells_whether_something_would_change(router: Router) -> None:
    assert apply(router, *OLD, "--plan", "--detailed-exitcode")[0] == 4
    assert router.ruleset() == ""
    assert apply(router, *OLD)[0] == 0
    code, lines = apply(router, *OLD, "--plan", "--detailed-exitcode")
    assert (code, len(lines)) == (0, 1)
    assert lines[0].startswith("nothing to change in table inet netpolc for node node-a")
    assert apply(router, *NEW, "--plan", "--detailed-exitcode")[0] == 4
    assert apply(router, *NEW, "--plan")[0] == 0
    assert apply(router, *NEW, "--detailed-exitcode")[0] == 2


def test_pods_whose_isolation_begins_or_ends_are_told_once(router: Router) -> None:
    _, lines = apply(router, *OLD, "--plan")
    at = lines.index("- ingress of production/database-1[Pod]: all => what its policies admit")
    assert lines[at + 1 : at + 3] == [
        "      isolated by production/database-policy",
        "      admits TCP 5432 from production/backend-1[Pod], production/backend-2[Pod]",
    ]
    assert any("replaces table inet netpolc as a whole: none" in line for line in lines)
    assert apply(router, *OLD)[0] == 0
    _, lines = apply(router, *SHARED, "--plan", "--allow-empty")
    at = lines.index("+ ingress of production/database-1[Pod]: all")
    assert lines[at + 1].endswith("any more; was isolated by production/database-policy")


def test_a_table_that_somebody_changed_is_said_not_guessed(router: Router) -> None:
    assert apply(router, *OLD)[0] == 0
    router.run("nft", "insert rule inet netpolc forward ip ttl 3 accept")
    before = router.ruleset()
    code, lines = apply(router, *OLD, "--plan", "--detailed-exitcode")
    assert code == 4
    assert any(line.startswith("connections: unknown") for line in lines)
    assert router.ruleset() == before


def test_the_plan_replaces_a_table_of_others_as_apply_does(router: Router) -> None:
    router.run("nft", "add table inet netpolc")
    code, lines = apply(router, *OLD, "--plan", "--detailed-exitcode")
    assert code == 4
    assert any(line.startswith("connections: unknown") for line in lines)
    assert any("as a whole" in line for line in lines)
    assert apply(router, *OLD)[0] == 0


PLAN = ("--plan", "--detailed-exitcode")


def test_what_changes_on_bridges_alone_is_said(router: Router) -> None:
    assert apply(router, *OLD)[0] == 0
    code, lines = apply(router, *OLD, *PLAN, "--pod-bridges", "br7")
    assert code == 4
    assert "~ bridges of pods (--pod-bridges): others" in lines
    code, lines = apply(router, *OLD, *PLAN, "--deny", "reject")
    assert code == 4
    said = "of what bridges carry by addresses of no pod: judged by other rules"
    assert {f"~ {own} {said}" for own in ("ingress", "egress")} <= {*lines}


def test_what_changes_in_notes_alone_is_said(router: Router, tmp_path: Path) -> None:
    """A pod has a successor by its name and its address."""
    snapshot = tmp_path / "snapshot.yaml"
    text = (
        "{{apiVersion: v1, kind: Pod, metadata: {{name: web, namespace: x, uid: {uid}}},"
        " spec: {{nodeName: node-a, containers: [{{name: web}}]}},"
        " status: {{phase: Running, podIP: 10.0.0.1}}}}\n---\n"
        "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,"
        " metadata: {{name: web, namespace: x}}, spec: {{podSelector: {{}}}}}}\n"
    )
    own = str(snapshot)
    snapshot.write_text(text.format(uid="a"))
    assert apply(router, own)[0] == 0
    assert apply(router, own, *PLAN)[0] == 0
    snapshot.write_text(text.format(uid="b"))
    before = router.ruleset()
    code, lines = apply(router, own, *PLAN)
    assert code == 4
    assert "no rule to change in table inet netpolc for node node-a" in "\n".join(lines)
    assert lines[1:] == [
        "flows to forget, of pods that are gone: 10.0.0.1",
        "notes: which pods have which addresses",
    ]
    assert router.ruleset() == before
    assert apply(router, own)[0] == 0
    assert apply(router, own, *PLAN)[0] == 0
