"""The house rules, read from the source with `ast`.

In: every module of the package. Out: imports that point downward only, siblings apart, I/O and the
`nftables` binding where they belong, files of a readable size, everything public explained.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import netpolc

PACKAGE = Path(netpolc.__file__).parent
LAYERS: tuple[tuple[str, ...], ...] = (
    ("netpolc", "netpolc.cli", "netpolc.pytest_plugin"),
    ("netpolc.flows", "netpolc.expectations"),
    ("netpolc.compiler", "netpolc.findings", "netpolc.connectivity", "netpolc.explain"),
    ("netpolc.frontends", "netpolc.passes", "netpolc.backends"),
    ("netpolc.semantics",),
    ("netpolc.program", "netpolc.manifests"),
    ("netpolc.cluster", "netpolc.labels"),
    ("netpolc.expectation",),
    ("netpolc.ir", "netpolc.junit"),
    ("netpolc.nets", "netpolc.errors", "netpolc._version"),
)
"""Top to bottom. What stands on one line may import what stands on a later one, never each other;
`cluster` and `labels` are stated in terms of the IR, `nets` and `errors` in terms of nothing."""
BINDING = "netpolc.backends.nft.kernel"
STORE = "netpolc.backends.matcher.store"
GENERATION = "netpolc.backends.nft.generation"
WITH_IO = (
    "netpolc.cli",
    "netpolc.manifests",
    BINDING,
    "netpolc.backends.nft.conntrack",  # open flows
    "netpolc.backends.nft.runtime",  # locks and saved tables in /run
    "netpolc.backends.nft.guard",  # a process that undoes what nobody confirms
    GENERATION,
    STORE,
)
MAX_LINES = 500
INET = {"AF_INET", "AF_INET6", "inet_ntop", "inet_pton"}
IO_MODULES = {
    "asyncio", "fcntl", "fileinput", "glob", "http", "io", "mmap", "multiprocessing", "os",
    "pathlib", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile",
    "threading", "urllib",
}  # fmt: skip
HARMLESS = {"os.PathLike", "urllib.parse.quote", *(f"socket.{name}" for name in INET)}
IO_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}


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


def layer(name: str) -> tuple[int, str]:
    """The number of a module's layer and which part of the layer it is in."""
    if name in ("netpolc", "netpolc.__main__"):
        return 0, name
    for number, parts in enumerate(LAYERS):
        for part in parts:
            if part != "netpolc" and (name == part or name.startswith(f"{part}.")):
                return number, part
    raise AssertionError(f"{name} is in no layer: draw it in ARCHITECTURE.md and here")


@every_module
def test_imports_point_downward(name: str) -> None:
    own_layer, own_part = layer(name)
    for target in own_imports(name):
        number, part = layer(target)
        if target == "netpolc":
            assert own_layer == 0, f"{name} imports the public API"
        assert part == own_part or number > own_layer or own_layer == 0, f"{name} -> {target}"


def test_there_is_no_cycle() -> None:
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name in done:
            return
        for target in set(own_imports(name)) - {name}:
            package = target if target in MODULES else ""
            # A package's __init__ runs before its modules: its own re-exports are no cycle.
            if package and not name.startswith(f"{package}."):
                visit(package, (*above, name))
        done.add(name)

    for name in MODULES:
        visit(name, ())


@pytest.mark.parametrize("name", [n for n in sorted(MODULES) if n.startswith("netpolc.backends.")])
def test_backends_do_not_know_each_other(name: str) -> None:
    own = name.split(".")[2]
    for target in own_imports(name):
        if target.startswith("netpolc.backends."):
            assert target.split(".")[2] == own, f"{name} -> {target}"


@every_module
def test_a_frontend_never_reads_files_and_a_pass_never_text(name: str) -> None:
    targets = set(own_imports(name))
    if name.startswith(("netpolc.passes", "netpolc.backends", "netpolc.semantics")):
        assert not any(target.startswith("netpolc.manifests") for target in targets)
    if name.startswith("netpolc.manifests"):
        assert targets <= {n for n in MODULES if n.startswith("netpolc.manifests")} | {
            "netpolc.errors"
        }


@every_module
def test_only_the_kernel_module_knows_the_binding(name: str) -> None:
    for node in ast.walk(TREES[name]):
        named = {
            *(alias.name for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)),
            getattr(node, "module", None),
            node.value if isinstance(node, ast.Constant) else None,
        }
        if "nftables" in named and name != BINDING:
            # The key of libnftables JSON is the same word: a constant where that is in use.
            json = {f"netpolc.backends.nft.{own}" for own in ("drift", "json", "parse_json")}
            assert name in json, name
            assert isinstance(node, ast.Constant)


@every_module
def test_io_is_where_it_belongs(name: str) -> None:
    if name.startswith(WITH_IO):
        return
    used = {target for target in imports(name) if target.partition(".")[0] in IO_MODULES} - HARMLESS
    if used == {"os"}:
        attributes = {
            node.attr
            for node in ast.walk(TREES[name])
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "os"
        }
        used = {f"os.{attribute}" for attribute in attributes} - HARMLESS
    assert used == set(), f"{name} imports {used}"
    calls = {
        node.func.id
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & IO_CALLS == set(), name


@every_module
def test_nothing_is_swallowed(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno}: bare except"
            caught = {leaf.id for leaf in ast.walk(node.type) if isinstance(leaf, ast.Name)}
            assert not caught & {"Exception", "BaseException"}, f"{name}:{node.lineno}"


@every_module
def test_files_stay_readable(name: str) -> None:
    assert len(MODULES[name].read_text().splitlines()) < MAX_LINES


def public(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Public functions, classes and methods, with their dotted names."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, kinds) and not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", inner


@every_module
def test_everything_public_is_explained(name: str) -> None:
    assert ast.get_docstring(TREES[name]), f"{name} does not say what it is"
    for found, node in public(TREES[name]):
        assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        assert ast.get_docstring(node), f"{name}.{found}"


def test_the_public_api_is_what_it_says() -> None:
    for found in netpolc.__all__:
        assert getattr(netpolc, found).__doc__, found
    assert list(netpolc.__all__) == sorted(netpolc.__all__)
