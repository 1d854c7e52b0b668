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

from netpolc.agent.enforcer import boot_file
from netpolc.backends.nft import TABLE
from netpolc.cli.enforce.agent import FOLDER
from tests.cli.invocation import invoke
from tests.helpers.lab import LabError, Router
from tests.helpers.scenarios import ROOT

CONTRIB = ROOT / "contrib"
UNITS = (
    "netpolc.service",
    "netpolc-snapshot.service",
    "netpolc-snapshot.timer",
    "netpolc-boot.service",
)


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(interpolation=None, delimiters=("=",), strict=False)
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


def test_the_service_comes_before_pods_and_after_who_flushes_and_leaves_its_table() -> None:
    service = unit("netpolc.service")
    assert {"k3s.service", "k3s-agent.service", "kubelet.service"} <= set(
        service["Unit"]["Before"].split()
    )
    flushing = {"nftables.service", "firewalld.service", "docker.service"}
    assert flushing <= set(service["Unit"]["After"].split())
    assert service["Service"]["Type"] == "notify"
    assert service["Service"]["CapabilityBoundingSet"] == "CAP_NET_ADMIN"
    assert not {"ExecStop", "ExecStopPost"} & set(service["Service"])


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for name in UNITS:
        text = (CONTRIB / name).read_text()
        programs = r"/usr/(local/bin/netpolc\S*|sbin/nft)"
        (tmp_path / name).write_text(re.sub(programs, "/bin/true", text))
    command = ["systemd-analyze", "verify", *(str(tmp_path / name) for name in UNITS)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["netpolc.service", "netpolc-snapshot.service"])
def test_a_service_may_do_little(name: str) -> None:
    """`systemd-analyze security`: 0 is nothing, 10 everything; the threshold is in tenths."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=22"]
    rated = subprocess.run(
        [*command, str(CONTRIB / name)], capture_output=True, text=True, check=False
    )
    assert rated.returncode == 0, rated.stdout
    service = unit(name)["Service"]
    assert service["RuntimeDirectory"] == name.removesuffix(".service")
    assert service["RuntimeDirectoryMode"] == "0700"
    assert re.fullmatch(r"[0-9]+[MG]", service["MemoryMax"])
    filters = re.findall("^SystemCallFilter=(.*)$", (CONTRIB / name).read_text(), re.MULTILINE)
    assert filters == ["@system-service", "~@privileged"]


def test_the_boot_unit_loads_what_the_agent_kept_before_there_are_pods() -> None:
    boot = unit("netpolc-boot.service")
    kept = str(boot_file(Path(FOLDER), TABLE))
    assert boot["Unit"]["ConditionPathExists"] == kept
    assert shlex.split(boot["Service"]["ExecStart"]) == ["/usr/sbin/nft", "-f", kept]
    assert boot["Service"]["Type"] == "oneshot"
    assert boot["Service"]["CapabilityBoundingSet"] == "CAP_NET_ADMIN"
    before, after = (set(boot["Unit"][name].split()) for name in ("Before", "After"))
    assert {"kubelet.service", "k3s.service", "k3s-agent.service"} <= before
    assert {"nftables.service", "firewalld.service", "docker.service"} <= after


OTHERS = {
    "nftables.service": "DefaultDependencies=no\nBefore=network-pre.target",
    "firewalld.service": "Before=network-pre.target",
    "docker.service": "After=network-online.target firewalld.service\nWants=network-online.target",
    "kubelet.service": "After=docker.service network-online.target\nWants=network-online.target",
}
"""How the services of Debian are ordered."""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", ["netpolc.service", "netpolc-boot.service"])
def test_the_order_of_the_service_has_no_cycle(tmp_path: Path, name: str) -> None:
    text = (CONTRIB / name).read_text()
    text = re.sub(r"/usr/(local/bin/netpolc|sbin/nft)", "/bin/true", text)
    wants = f"[Unit]\nWants={' '.join(OTHERS)}\n"
    (tmp_path / name).write_text(text.replace("[Unit]\n", wants))
    for other, lines in OTHERS.items():
        (tmp_path / other).write_text(f"[Unit]\n{lines}\n[Service]\nExecStart=/bin/true\n")
    names = [str(tmp_path / name) for name in (name, *OTHERS)]
    command = ["systemd-analyze", "verify", *names]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "cycle" not in checked.stderr
    assert checked.returncode == 0


@pytest.mark.kernel
def test_the_kernel_takes_the_settings_for_bridges() -> None:
    names = [f"bridge-nf-call-{own}tables" for own in ("ip", "ip6")]
    names.append("bridge-nf-filter-vlan-tagged")
    with Router() as router:
        try:
            router.sysctl({f"net/bridge/{name}": 0 for name in names})
        except (LabError, OSError) as error:
            pytest.skip(f"the kernel has no br_netfilter: {error}")
        lines = (CONTRIB / "netpolc-bridge.conf").read_text().splitlines()
        settings = dict(line.split(" = ") for line in lines if not line.startswith("#"))
        router.sysctl({name.replace(".", "/"): own for name, own in settings.items()})
        assert [router.read(f"/proc/sys/net/bridge/{name}").strip() for name in names] == ["1"] * 3


def _tasks(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every task, those of blocks too."""
    return [inner for task in tasks for inner in [task, *_tasks(task.get("block", []))]]


def test_the_playbook_installs_what_the_units_need() -> None:
    (play,) = yaml.safe_load((CONTRIB / "netpolc.yml").read_text())
    tasks = _tasks(play["tasks"])
    copied = {str(task.get("ansible.builtin.copy", {}).get("src")) for task in tasks}
    copied |= {name for task in tasks for name in task.get("loop", [])}
    assert {"netpolc.service", "netpolc-snapshot", *UNITS[1:3]} <= copied
    assert all((CONTRIB / name).exists() for name in copied if name.startswith("netpolc"))
    links = [task["ansible.builtin.file"] for task in tasks if "ansible.builtin.file" in task]
    assert {"/usr/local/bin/netpolc", "/etc/netpolc"} <= {
        own.get("dest") or own["path"] for own in links
    }
    assert play["vars"]["netpolc_package"] == "netpolc[node]"
    assert {own["name"] for own in play["handlers"]} == {
        task["notify"] for task in tasks if "notify" in task
    }


@pytest.mark.skipif(shutil.which("ansible-playbook") is None, reason="needs ansible-playbook")
def test_the_playbook_removes_manifests_that_are_gone(tmp_path: Path) -> None:
    (play,) = yaml.safe_load(
        (CONTRIB / "netpolc.yml").read_text().replace("/etc", f"{tmp_path}/etc")
    )
    tasks = [task for task in play["tasks"] if "anifests" in task["name"]]
    assert len(tasks) == 5
    chosen: dict[str, Any] = {"hosts": "localhost", "connection": "local", "gather_facts": False}
    chosen["vars"] = {"netpolc_folder": play["vars"]["netpolc_folder"]}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([{**chosen, "tasks": tasks}]))
    wanted, there = tmp_path / "policies", tmp_path / "etc" / "netpolc"
    (there / "manifests").mkdir(parents=True)
    (there / "cluster.json").write_text("{}")
    for names, folder in (
        ({"a.yaml", "sub/b.yaml"}, "policies/"),
        ({"sub/b.yaml", "c.yaml"}, f"{wanted}/"),
        (set[str](), ""),
    ):
        shutil.rmtree(wanted, ignore_errors=True)
        for name in names:
            (wanted / name).parent.mkdir(parents=True, exist_ok=True)
            (wanted / name).write_text(name)
        command = ["ansible-playbook", "-e", f"netpolc_manifests={folder}", f"{tmp_path}/play.yml"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stdout
        files = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
        assert files == {"cluster.json", *(f"manifests/{name}" for name in names)}


def snapshot(tmp_path: Path, kubectl: str, **settings: str) -> int:
    environment = {**os.environ, "KUBECTL": kubectl, "RUNTIME_DIRECTORY": str(tmp_path), **settings}
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


def test_policies_come_from_one_place(tmp_path: Path) -> None:
    target = tmp_path / "etc" / "cluster.json"
    kinds = {"cluster": "namespaces,nodes,pods,networkpolicies", "files": "namespaces,nodes,pods"}
    for place, expected in kinds.items():
        assert snapshot(tmp_path, "echo", POLICIES=place) == 0
        assert target.read_text().split()[1] == expected
    assert snapshot(tmp_path, "echo", POLICIES="both") == 2
    assert target.read_text().split()[1] == kinds["files"]
    (play,) = yaml.safe_load((CONTRIB / "netpolc.yml").read_text())
    (options,) = (task for task in play["tasks"] if task["name"] == "Write the options")
    assert "POLICIES={{ 'files' if netpolc_manifests" in options["ansible.builtin.copy"]["content"]


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
