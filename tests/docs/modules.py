"""Every module of the package as the tests of the house see it: its tree of syntax, its imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import netpolc

PACKAGE = Path(netpolc.__file__).parent
NFT = "netpolc.backends.nft"


def modules() -> dict[str, Path]:
    """Every module of the package, by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
every_module = pytest.mark.parametrize("name", sorted(MODULES))


def imports(name: str) -> Iterator[str]:
    """What a module imports, each as the most precise module or `module.attribute`."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(name: str) -> Iterator[str]:
    """Modules of the package that a module imports."""
    for target in imports(name):
        if target.partition(".")[0] == "netpolc":
            while target not in MODULES:
                target = target.rpartition(".")[0]
            yield target
