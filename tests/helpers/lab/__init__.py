"""The laboratory: real kernels judge real packets, in namespaces of this process.

In: rulesets, flows, connections to try. Out: what the kernel did with them. Refused: a machine
without root, nft, libnftables, or the kernel's namespaces, nftables and connection tracking;
`unavailable` says which.
"""

from __future__ import annotations

import importlib
import os
import shutil
from functools import cache

from tests.helpers.lab.injector import Flow, Injector, one_cpu
from tests.helpers.lab.namespaces import LabError, Namespace, Router, RulesetError, veth
from tests.helpers.lab.pods import Connection, PodLab, Probe

__all__ = [
    "Connection",
    "Flow",
    "Injector",
    "LabError",
    "Namespace",
    "PodLab",
    "Probe",
    "Router",
    "RulesetError",
    "one_cpu",
    "unavailable",
    "veth",
]


@cache
def unavailable() -> str | None:
    """Why the laboratory cannot run on this machine; None when it can."""
    if os.geteuid() != 0:
        return "the kernel laboratory needs root"
    for program in ("ip", "nft"):
        if shutil.which(program) is None:
            return f"the kernel laboratory needs the program {program}"
    try:
        importlib.import_module("nftables")
    except ImportError as error:
        return f"the kernel laboratory needs the nftables Python binding: {error}"
    try:
        with Router() as router:
            router.flush()
            router.forget_connections()
    except (LabError, OSError) as error:
        return f"this kernel lacks a part of the laboratory: {error}"
    return None
