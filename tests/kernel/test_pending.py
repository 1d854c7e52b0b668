"""`--pending deny` in a real kernel: a pod's packets before and after it is known.

In: a node with a block, pods that come and go. Out: what the kernel lets through, what each change
sends, what the table says of itself when it is read back over netlink.
"""

from __future__ import annotations

import pytest

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.state.loaded import drifted
from tests.helpers.lab import Injector
from tests.helpers.manifests import namespace, node, pod, policy

pytestmark = pytest.mark.kernel
TCP = 6
OPTIONS = [
    netpolc.Options(pending="deny"),
    netpolc.Options(pending="deny", established="recheck", log="5/second"),
    netpolc.Options(pending="deny", hook="postrouting"),
]


def program(*pods: str) -> netpolc.Program:
    own = node("node-a", "192.0.2.10")
    own["spec"] = {"podCIDRs": ["10.64.0.0/24", "fd00:64::/64"]}
    closed = policy("closed", podSelector={"matchLabels": {"name": "closed"}})
    addresses = {"closed": "10.64.0.2", "open": "10.64.0.3", "new": "10.64.0.9"}
    known = [pod(name, addresses[name]) for name in pods]
    return netpolc.compile(netpolc.load_objects([namespace("default"), own, closed, *known]))


@pytest.mark.parametrize("options", OPTIONS, ids=["forward", "recheck", "postrouting"])
def test_a_pod_is_denied_until_it_is_known(injector: Injector, options: netpolc.Options) -> None:
    injector.flush()
    kernel = injector.router.call(Kernel)
    flows = [
        ("10.64.0.9", "192.0.2.77", TCP, 80),
        ("192.0.2.77", "10.64.0.9", TCP, 80),
        ("10.64.0.3", "10.64.0.9", TCP, 80),
        ("10.64.0.3", "192.0.2.77", TCP, 80),
        ("192.0.2.77", "10.64.0.2", TCP, 80),
    ]
    kernel.update(program("closed", "open").ruleset("node-a", options))
    assert injector.judge(flows) == [False, False, False, True, False]
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    counted = {own.chain: own.packets for own in loaded.drops}
    assert (counted["e_pending"], counted["i_pending"]) == (1, 2)
    assert loaded.options.pending == "deny"

    after = kernel.update(program("closed", "open", "new").ruleset("node-a", options)).delta
    assert after is not None
    # The address is known now: elements, and no rule but those with the generation.
    assert after.chains == (2 if options.recheck else 0)
    injector.router.forget_connections()
    assert injector.judge(flows) == [True, True, True, True, False]


@pytest.mark.parametrize("options", OPTIONS, ids=["forward", "recheck", "postrouting"])
def test_it_is_read_back_as_it_was_written(injector: Injector, options: netpolc.Options) -> None:
    injector.flush()
    ruleset = program("closed").ruleset("node-a", options)
    injector.router.call(Kernel).update(ruleset)
    again = injector.router.call(Kernel)
    found = again.update(ruleset).delta
    assert found is not None
    assert not found
    loaded, content = again.facts.loaded("netpolc"), again.tables.content("netpolc")
    assert drifted(loaded, content, ruleset.digest) == ()
