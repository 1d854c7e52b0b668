"""Tables of netpolc in the hands of another nft: that of a root folder, which `.ci/testing` makes.

In: rulesets of scenarios, loaded by that nft or by netpolc. Out: it lists the same of both, and
whoever loaded or listed them, `status` and `verify` find what netpolc wrote.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.backends.nft.netlink.tables import INPUTS, OPTIONS, ruleset
from tests.backends.nft.netlink.test_loaded import LIST, in_order
from tests.helpers.lab import Router
from tests.kernel.applying import drift
from tests.kernel.test_commands import THREE_TIER, netpolc

NFT_ROOT = os.environ.get("NETPOLC_NFT_ROOT", "")
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not NFT_ROOT, reason="no root folder with another nft: .ci/testing has one"),
]
NFT = ("chroot", NFT_ROOT, "nft")


@pytest.fixture
def other() -> Iterator[Router]:
    with Router() as router:
        yield router


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", INPUTS)
def test_it_lists_the_same_whoever_loaded_it(
    name: str, options: str, router: Router, other: Router
) -> None:
    text = ruleset(INPUTS[name], OPTIONS[options]).text()
    router.run(*NFT, "-f", "-", text=text)
    other.load(text)
    ours, theirs = (in_order(each.run(*NFT, *LIST)) for each in (other, router))
    assert ours == theirs
    assert "chain" in ours


def test_a_table_that_it_loaded_is_what_netpolc_would_load(router: Router) -> None:
    options = ("--node", "node-a")
    text = netpolc(router, "compile", THREE_TIER, *options).stdout
    router.run(*NFT, "-f", "-", text=text)
    assert drift(router, THREE_TIER, *options) == []
    assert netpolc(router, "verify", THREE_TIER, *options).returncode == 0


def test_a_table_that_netpolc_loaded_stays_clean_when_it_was_listed(router: Router) -> None:
    options = ("--node", "node-a")
    assert netpolc(router, "apply", THREE_TIER, *options).returncode == 0
    before = router.ruleset()
    listed = router.run(*NFT, "-s", "-y", *LIST)
    assert router.ruleset() == before
    assert drift(router, THREE_TIER, *options) == []
    router.flush()
    router.run(*NFT, "-f", "-", text=listed)
    assert netpolc(router, "verify", THREE_TIER, *options).returncode == 0
