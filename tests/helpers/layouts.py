"""Layouts that are the cheapest in large clusters alone, in small ones."""

from __future__ import annotations

import pytest

from netpolc.backends.nft.lower import cost


def prefer_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all pods in maps that can be: of ordered tiers, and of the sources of one chain."""

    def never(*_: object, **__: object) -> bool:
        return False

    def always(*_: object, **__: object) -> bool:
        return True

    monkeypatch.setattr(cost, "linear", never)
    monkeypatch.setattr(cost, "source_map", always)
