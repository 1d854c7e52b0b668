"""The rulesets that are compared, by the name of their lane.

In: a `Scenario`. Out: for each lane what loads its ruleset into a router. Every ruleset asks for
connection tracking, also those that never use it: what is compared is judging, not tracking.
"""

from __future__ import annotations

import shutil

from benches.dataplane import kube_router
from benches.dataplane.clusters import Scenario
from benches.dataplane.lanes import Load
from benches.linear import linear_chain_per_pod
from benches.workloads import LOCAL_NODE
from netpolc.backends.nft import Options
from netpolc.core.nets import Family

EMPTY, AGAIN, ACCEPT = "no rules", "no rules, again", "accept and nothing else"
OPEN = (EMPTY, AGAIN, ACCEPT)
NETPOLC, UNBRIDGED = "netpolc", "netpolc, without its rules for bridges"
PENDING = "netpolc, --pending deny"
LINEAR = "linear chain per pod"
IPTABLES = "iptables-legacy + ipset, kube-router's shape"
# A chain without a hook that nobody jumps to: the kernel tracks connections once a rule asks.
TRACKED = "table inet tracked {\n  chain nowhere {\n    ct state new\n  }\n}\n"
ACCEPTING = """table inet accepting {
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    accept
  }
}
"""


def loads(scenario: Scenario) -> dict[str, Load]:
    """What loads each lane."""
    found = {
        EMPTY: text_load(TRACKED),
        AGAIN: text_load(TRACKED),
        ACCEPT: text_load(TRACKED + ACCEPTING),
        NETPOLC: text_load(scenario.program.ruleset(node=LOCAL_NODE).text()),
        LINEAR: text_load(linear_chain_per_pod(scenario.snapshot, LOCAL_NODE)),
    }
    if missing() is None:
        shape = kube_router.shape(scenario.snapshot, LOCAL_NODE, scenario.family)
        found[IPTABLES] = shape.load
    return found


def bridges(scenario: Scenario) -> dict[str, Load]:
    """The ruleset with and without the rules that ask whether a packet leaves by a bridge."""
    text = scenario.program.ruleset(node=LOCAL_NODE).text()
    kept = [line for line in text.splitlines(keepends=True) if " jump bridged_" not in line]
    assert len(kept) < text.count("\n")
    return {UNBRIDGED: text_load("".join(kept)), NETPOLC: text_load(text)}


def pending(scenario: Scenario) -> dict[str, Load]:
    """The ruleset by default, and with `--pending deny`."""
    deny = scenario.program.ruleset(LOCAL_NODE, Options(pending="deny")).text()
    allow = scenario.program.ruleset(LOCAL_NODE).text()
    return {EMPTY: text_load(TRACKED), NETPOLC: text_load(allow), PENDING: text_load(deny)}


def missing() -> str | None:
    """The program that the iptables lane lacks on this machine."""
    programs = [*kube_router.PROGRAMS[Family.IPV4], *kube_router.PROGRAMS[Family.IPV6]]
    return next((name for name in programs if shutil.which(name) is None), None)


def text_load(text: str) -> Load:
    """What loads a ruleset of nftables."""
    return lambda router: router.load(text)
