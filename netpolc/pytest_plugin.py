"""The pytest plugin: a fixture that loads policies once a session.

def test_the_database(netpolc_policies):
    shop = netpolc_policies("k8s/", namespace="shop")
    shop.reachable_only_from("db", "web", "TCP/5432")
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from netpolc.analysis.expectations import Policies


@pytest.fixture(scope="session")
def netpolc_policies() -> Callable[..., Policies]:
    """Makes `netpolc.analysis.expectations.Policies`; the same manifests are read only once."""
    from netpolc.analysis.expectations import Policies

    return cache(Policies)
