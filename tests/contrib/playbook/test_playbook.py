"""The Ansible playbook, run for real in an overlay of this machine that vanishes with the test.

Only systemd is a stand-in, since it is not the first process where tests run: it remembers what was
enabled and started. What netpolc needs comes from PyPI.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from tests.helpers.scenarios import ROOT

SOURCES = ("netpolc", "ext", "setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
OVERLAY = """
set -eu
mount --make-rprivate /
mount -t tmpfs overlay {scratch}
cd {scratch}
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
cd root
mount -t proc proc proc
mount --rbind /dev dev
mount --rbind /sys sys
mount -t tmpfs run run
rm -rf usr/local/bin/netpolc opt/netpolc etc/netpolc etc/default/netpolc
cp {stand_in} usr/bin/systemctl
mkdir -p given
cp -r {wheel} {contrib} given
cp -r {manifests} given/manifests
exec chroot . sh -euc {inside}
"""
PLAY = """
echo '== run'
export HOME=/tmp ANSIBLE_NOCOLOR=1
ansible-playbook -i localhost, -c local given/contrib/netpolc.yml -e {given}
echo '== state'
find /etc/netpolc -type f -printf '%P %m\\n' | sort
echo '--'
cat /etc/default/netpolc
echo '--'
cat /var/lib/stand-in/calls
rm /var/lib/stand-in/calls
echo '--'
/usr/local/bin/netpolc --version
"""

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(shutil.which("ansible-playbook") is None, reason="needs ansible-core"),
]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """netpolc as a wheel, built from a copy of the checkout."""
    source = tmp_path / "source"
    source.mkdir()
    subprocess.run(["cp", "-r", *(str(ROOT / own) for own in SOURCES), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True)
    (built,) = tmp_path.glob("*.whl")
    return built


def changed(said: str) -> set[str]:
    """The tasks and handlers that changed something."""
    parts = re.split(r"^(?:TASK|RUNNING HANDLER) \[(.*?)\].*$", said, flags=re.MULTILINE)
    return {
        name
        for name, output in zip(parts[1::2], parts[2::2], strict=True)
        if re.search(r"^changed: ", output, re.MULTILINE)
    }


def test_the_playbook_sets_up_a_host_and_then_changes_nothing(tmp_path: Path, wheel: Path) -> None:
    manifests = tmp_path / "policies"
    manifests.mkdir()
    (manifests / "policies.yaml").write_text("{}\n")
    given = {
        "netpolc_package": f"/given/{wheel.name}[node]",
        "netpolc_manifests": "/given/manifests/",
        "netpolc_options": "--node box-1",
    }
    scratch = tmp_path / "overlay"
    scratch.mkdir()
    script = OVERLAY.format(
        scratch=quote(str(scratch)),
        stand_in=quote(str(Path(__file__).with_name("systemctl"))),
        wheel=quote(str(wheel)),
        contrib=quote(str(ROOT / "contrib")),
        manifests=quote(str(manifests)),
        inside=quote(PLAY.format(given=quote(json.dumps(given))) * 2),
    )
    command = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    first, again = done.stdout.split("== run\n")[1:]

    said, _, state = first.partition("== state\n")
    assert {"Install netpolc", "Copy manifests", "Start netpolc"} <= changed(said)
    files, options, calls, version = state.split("--\n")
    assert [line.rpartition("/")[2] for line in files.splitlines()] == ["policies.yaml 600"]
    assert "NETPOLC_OPTIONS=--node box-1\n" in options
    assert {"enable netpolc.service", "start netpolc.service"} <= set(calls.splitlines())
    assert "netpolc-snapshot" not in calls
    assert version.startswith("netpolc ")

    said, _, state = again.partition("== state\n")
    assert changed(said) == set()
    assert state.split("--\n")[0] == files
    assert "restart" not in state
