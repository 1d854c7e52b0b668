"""netpolc compiles Kubernetes NetworkPolicy to nftables rulesets and answers questions about it.

    snapshot = netpolc.load(["cluster/"])          # manifests -> snapshot, or InputError
    program = netpolc.compile(snapshot)            # snapshot -> identities, networks, ports
    print(program.ruleset("node-a").text())        # what that node loads
    flow = netpolc.Flow("10.64.0.7", "10.64.1.9", "TCP", 8080)
    print(netpolc.evaluate(program, flow).allowed)

Everything that is not in `__all__` is private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netpolc._version import __version__ as __version__
from netpolc.backends.matcher import RadixTree
from netpolc.backends.nft import Options, Ruleset
from netpolc.compiler import Program, compile, load, load_objects
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import (
    Diagnostic,
    InputError,
    NetpolcError,
    SystemRefusal,
    UnsupportedError,
    UsageError,
)
from netpolc.core.semantics import Flow, Verdict, evaluate, flows_between

if TYPE_CHECKING:
    from netpolc.backends.matcher import Matcher, VerdictCode

__all__ = [
    "Diagnostic",
    "Flow",
    "InputError",
    "Matcher",
    "NetpolcError",
    "Options",
    "Program",
    "RadixTree",
    "Ruleset",
    "Snapshot",
    "SystemRefusal",
    "UnsupportedError",
    "UsageError",
    "Verdict",
    "VerdictCode",
    "compile",
    "evaluate",
    "flows_between",
    "load",
    "load_objects",
]


def __getattr__(name: str) -> Any:
    """What needs NumPy on demand: compiling and applying do without."""
    if name not in ("Matcher", "VerdictCode"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from netpolc.backends import matcher

    return getattr(matcher, name)
