"""Tables that have everything netpolc can say, and what is sent to load one."""

from __future__ import annotations

from pathlib import Path

import netpolc
from netpolc.backends.nft import Options, Ruleset
from netpolc.backends.nft.netlink.replacement import Replacement
from tests.helpers.scenarios import ROOT

OPTIONS = {
    "plain": Options(),
    "recheck": Options(established="recheck", log="5/second", deny="reject"),
    "audit": Options(audit=True, hook="postrouting"),
}
INPUTS = {
    own: ROOT / "tests" / "cases" / own / "input.yaml"
    for own in (
        "cluster-admin-and-baseline-v1alpha1",
        "cluster-networks-by-address",
        "cluster-protocols-and-icmp",
        "except-nested-and-adjacent",
        "endport",
        "overlapping-ports-union",
        "pod-to-itself-every-address",
    )
} | {"three-tier": ROOT / "examples" / "three-tier"}


def ruleset(path: Path, options: Options) -> Ruleset:
    return netpolc.compile(netpolc.load([str(path)])).ruleset(None, options)


def replacement(own: Ruleset) -> Replacement:
    table = own.marked_table
    counters = (*own.facts, *table.counters)
    return Replacement(table.name, (*counters, *table.sets, *table.maps, *table.chains))
