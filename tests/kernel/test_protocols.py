"""A machine without /etc/protocols, such as a container: nft then lists protocols by number.

In: a policy of many ports, which becomes maps, and a mount namespace with an empty /etc/protocols.
Out: what is loaded is known to be what was loaded, as elsewhere.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.lab import Router
from tests.helpers.manifests import namespace, pod, policy
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
PORTS = [{"protocol": own, "port": at} for own in ("TCP", "UDP") for at in range(80, 120, 3)]
OF_BLOCK = [{"ipBlock": {"cidr": "10.1.0.0/16"}}]


@pytest.mark.parametrize(
    ("rules", "key"), [(1, "6 . 80 :"), (2, "80 . 6 :")], ids=["hash", "ranges"]
)
def test_what_is_loaded_is_read_back(tmp_path: Path, rules: int, key: str) -> None:
    every = [{"ports": PORTS}, {"from": OF_BLOCK, "ports": [{"protocol": "UDP"}]}]
    web = policy("x/web", podSelector={}, ingress=every[:rules])
    snapshot, empty = tmp_path / "snapshot.json", tmp_path / "protocols"
    items = [namespace("x"), pod("x/web", "10.0.0.1", "fd00::1"), web]
    snapshot.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    empty.touch()

    with Router() as router:

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            mount = f"mount --bind {empty} /etc/protocols && exec " + '"$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, "sh", *words]
            done = router.call(
                lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
            )
            assert done.returncode == 0, done.stderr
            return done

        netpolc = (sys.executable, "-m", "netpolc")
        own = (str(snapshot), "--all-pods")
        assert run(*netpolc, "apply", *own, "--verify").stdout.startswith("loaded")
        listed = run("nft", "list", "table", "inet", "netpolc").stdout
        assert key in listed
        assert json.loads(run(*netpolc, "status", "-o", "json").stdout)["drift"] == []
        assert run(*netpolc, "apply", *own).stdout.startswith("nothing to change")
        run(*netpolc, "verify", *own)
