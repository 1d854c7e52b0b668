"""The pytest plugin: a fixture that loads policies once a session.

def test_the_database(netpolc_policies: netpolc.pytest_plugin.LoadPolicies) -> None:
    shop = netpolc_policies("k8s/", namespace="shop")
    shop.reachable_only_from("db", "web", "TCP/5432")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from netpolc.analysis.expectations import Policies


class LoadPolicies(Protocol):
    """What the fixture `netpolc_policies` is: it makes `netpolc.analysis.expectations.Policies`."""

    def __call__(
        self, *paths: str | os.PathLike[str], semantics: str = "current", namespace: str = "default"
    ) -> Policies:
        """The policies of files and folders; names without a namespace are of `namespace`.

        Raises `InputError` for manifests that cannot be used, `UsageError` for what is no path.
        """


@pytest.fixture(scope="session")
def netpolc_policies() -> LoadPolicies:
    """Loads policies to assert about; the same manifests are read only once a session."""
    from netpolc.analysis.expectations import Policies
    from netpolc.core.errors import NetpolcError

    made: dict[tuple[object, ...], Policies] = {}

    def load(
        *paths: str | os.PathLike[str], semantics: str = "current", namespace: str = "default"
    ) -> Policies:
        __tracebackhide__ = True
        key = (*map(str, paths), semantics, namespace)
        if key not in made:
            try:
                made[key] = Policies(*paths, semantics=semantics, namespace=namespace)
            except NetpolcError as error:  # told by its own words, without the way to it
                raise error.with_traceback(None) from None
        return made[key]

    return load
