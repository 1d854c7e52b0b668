"""Tables that an earlier netpolc loaded, as text through libnftables, are read and updated.

In: recorded texts of earlier rulesets, tables with a digest of another form. Out: what is said of
them, and deltas: such a table is changed like any other, without a gap.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netpolc as api
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.loader import Via
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import THREE_TIER

pytestmark = pytest.mark.kernel
RECORDED = ROOT / "tests" / "backends" / "nft" / "listings" / "recorded"
EARLIER = sorted(RECORDED.glob("*/ruleset.nft"))


@pytest.mark.parametrize("path", EARLIER, ids=lambda own: own.parent.name)
def test_a_recorded_table_is_read_and_changed(path: Path, router: Router) -> None:
    router.load(path.read_text())
    kernel = router.call(Kernel)
    found = kernel.tables.objects("netpolc")
    loaded = kernel.facts.loaded("netpolc")
    assert found
    assert loaded is not None
    ruleset = api.compile(api.load([THREE_TIER])).ruleset("node-a", loaded.options)
    kernel.update(ruleset)
    assert kernel.tables.content("netpolc") == ruleset.digest
    assert kernel.tables.content_by_nft("netpolc") == ruleset.digest


def test_what_text_loaded_is_nothing_to_change(router: Router) -> None:
    ruleset = api.compile(api.load([THREE_TIER])).ruleset("node-a")
    router.call(lambda: Kernel(via=Via.NFT)).update(ruleset)
    done = router.call(Kernel).update(ruleset)
    assert done.delta is not None
    assert not done.delta
    assert router.call(lambda: Kernel(via=Via.NFT)).update(ruleset).delta == done.delta


def test_another_form_of_the_digest_is_a_counter_to_change(router: Router) -> None:
    ruleset = api.compile(api.load([THREE_TIER])).ruleset("node-a")
    earlier = re.sub(r"sha256:\w+", "blake2:0123", ruleset.text())
    router.load(f'{earlier}add counter inet netpolc meta_loaded {{ comment "earlier"; }}\n')
    kernel = router.call(Kernel)
    done = kernel.update(ruleset)
    assert done.delta is not None
    assert [own.key for own in done.delta.touched] == ["counter meta_digest"]
    assert kernel.tables.content("netpolc") == ruleset.digest
