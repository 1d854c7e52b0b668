"""What `contrib/` promises: units that systemd takes, a playbook that fits them, a careful script.

In: the files as they are shipped. Out: the commands they start exist with the options they use, and
a snapshot appears whole or not at all. Refused: nothing; without systemd its own check is skipped.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.invocation import invoke
from tests.lab import Router
from tests.scenarios import ROOT

CONTRIB = ROOT / "contrib"
UNITS = ("netpolc.service", "netpolc-snapshot.service", "netpolc-snapshot.timer")


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(CONTRIB / name)
    return parser


def test_the_service_starts_a_command_that_exists() -> None:
    service = unit("netpolc.service")["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    assert program == "/usr/local/bin/netpolc"
    assert arguments == ["apply", "--watch", "/etc/netpolc", "$NETPOLC_OPTIONS"]
    chosen = [*arguments[:-1], "--established", "recheck", "--node", "node-a"]
    assert invoke(*chosen, "--help").code == 0
    assert invoke(*chosen, "--no-such-option", "--help").code == 2


def test_the_service_comes_before_the_network_and_leaves_its_table() -> None:
    service = unit("netpolc.service")
    assert {"network-pre.target", "k3s.service", "kubelet.service"} <= set(
        service["Unit"]["Before"].split()
    )
    assert service["Unit"]["DefaultDependencies"] == "no"
    assert service["Service"]["Type"] == "notify"
    assert service["Service"]["CapabilityBoundingSet"] == "CAP_NET_ADMIN"
    assert not {"ExecStop", "ExecStopPost"} & set(service["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        text = (CONTRIB / name).read_text()
        (tmp_path / name).write_text(re.sub(r"/usr/local/bin/netpolc\S*", "/bin/true", text))
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def _tasks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every task, those of blocks too."""
    return [inner for task in tasks for inner in [task, *_tasks(task.get("block", []))]]


def test_the_playbook_installs_what_the_units_need() -> None:
    (play,) = yaml.safe_load((CONTRIB / "netpolc.yml").read_text())
    tasks = _tasks(play["tasks"])
    copied = {str(task.get("ansible.builtin.copy", {}).get("src")) for task in tasks}
    copied |= {name for task in tasks for name in task.get("loop", [])}
    assert {"netpolc.service", "netpolc-snapshot", *UNITS[1:]} <= copied
    assert all((CONTRIB / name).exists() for name in copied if name.startswith("netpolc"))
    links = [task["ansible.builtin.file"] for task in tasks if "ansible.builtin.file" in task]
    assert {"/usr/local/bin/netpolc", "/etc/netpolc"} <= {
        own.get("dest") or own["path"] for own in links
    }
    assert play["vars"]["netpolc_package"] == "netpolc[node]"
    assert {own["name"] for own in play["handlers"]} == {
        task["notify"] for task in tasks if "notify" in task
    }


def snapshot(tmp_path: Path, kubectl: str) -> int:
    environment = {**os.environ, "KUBECTL": kubectl, "RUNTIME_DIRECTORY": str(tmp_path)}
    (tmp_path / "etc").mkdir(exist_ok=True)
    command = [str(CONTRIB / "netpolc-snapshot"), str(tmp_path / "etc" / "cluster.json")]
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode


def test_a_snapshot_is_replaced_whole_and_only_when_it_changed(tmp_path: Path) -> None:
    target = tmp_path / "etc" / "cluster.json"
    assert snapshot(tmp_path, "echo") == 0
    asked = target.read_text()
    assert asked.split()[1] == "namespaces,nodes,pods,networkpolicies"
    before = target.stat()
    assert snapshot(tmp_path, "echo") == 0
    assert target.stat() == before
    assert snapshot(tmp_path, "echo other") == 0
    assert target.read_text() == f"other {asked}"
    assert target.stat().st_ino != before.st_ino
    assert snapshot(tmp_path, "false") == 1
    assert target.read_text() == f"other {asked}"
    assert os.listdir(tmp_path / "etc") == ["cluster.json"]


@pytest.mark.kernel
@pytest.mark.parametrize("options", [(), ("--established", "recheck"), ("--flush-conntrack",)])
def test_the_one_capability_of_the_service_is_enough(options: tuple[str, ...]) -> None:
    bounded = ["setpriv", "--bounding-set", "-all,+net_admin", "--no-new-privs"]
    netpolc = [sys.executable, "-m", "netpolc", "apply", "examples/three-tier", "--all-pods"]
    with Router() as router:
        command = [*bounded, *netpolc, *options]
        done = router.call(
            lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "table inet netpolc" in router.ruleset()
