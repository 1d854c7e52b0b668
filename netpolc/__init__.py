"""netpolc compiles Kubernetes NetworkPolicy to nftables rulesets and answers questions about it.

    snapshot = netpolc.load(["cluster/"])          # manifests -> snapshot, or InputError
    program = netpolc.compile(snapshot)            # snapshot -> identities, networks, ports
    print(program.ruleset("node-a").text())        # what that node loads
    flow = netpolc.Flow("10.64.0.7", "10.64.1.9", "TCP", 8080)
    print(netpolc.evaluate(program, flow).allowed)

Everything that is not in `__all__` is private.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netpolc._version import __version__ as __version__

if TYPE_CHECKING:
    from netpolc.backends.matcher import Matcher, RadixTree, VerdictCode
    from netpolc.backends.nft import Options, Ruleset
    from netpolc.compiler import Program, compile, load, load_objects
    from netpolc.core.cluster import Snapshot
    from netpolc.core.ends import flows_between
    from netpolc.core.errors import (
        Diagnostic,
        InputError,
        NetpolcError,
        SystemRefusal,
        UnsupportedError,
        UsageError,
    )
    from netpolc.core.semantics import Flow, Verdict, evaluate
    from netpolc.flows.engines import judge_batch

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
    "judge_batch",
    "load",
    "load_objects",
]


_MODULES = {
    "backends.matcher": ("Matcher", "RadixTree", "VerdictCode"),
    "backends.nft": ("Options", "Ruleset"),
    "compiler": ("Program", "compile", "load", "load_objects"),
    "core.cluster": ("Snapshot",),
    "core.ends": ("flows_between",),
    "core.semantics": ("Flow", "Verdict", "evaluate"),
    "flows.engines": ("judge_batch",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what is asked for: a command needs a part of netpolc, and few need NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_PLACES.get(name, 'core.errors')}")
    globals()[name] = found = getattr(module, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
