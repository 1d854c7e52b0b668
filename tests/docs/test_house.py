"""The house rules, read from the source with `ast`: what a newcomer can take in at a glance.

In: every module of the package; of lengths every source there is. Out: files, classes and folders
of a readable size, everything public explained and named once, nothing swallowed.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

import netpolc
from tests.docs.modules import MODULES, TREES, every_module
from tests.helpers.scenarios import ROOT

MAX_LINES = 400
MAX_METHODS = 15
MAX_MODULES = 12
SOURCES = sorted(
    path
    for top in ("netpolc", "ext", "tests", "benches", "findings", "contrib", "examples")
    for path in (ROOT / top).rglob("*")
    if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h") and path.is_file()
)
HOMONYMS = {
    "nft's word, on both sides of a proof that share no code; and the API's": {
        "Action",
        "Rule",
        "Verdict",
    },
    "nft's word; and what users call from Python for connections (docs/report.md)": {"Table"},
    "resolved policies; and the same with what backends make of them": {"Program"},
    "an object's metadata as the API has it, and as it was checked": {"Metadata"},
    "the same job for text and JSON, or for YAML and JSON": {"Locator", "parse", "transaction"},
    "all there is of a kind, as the API server gives it and as nf_tables does": {"Listed"},
    "one for each kind of policy, named where the kind is registered": {"lower"},
    "one for each family of findings, and all of them": {"check"},
    "forms of output: one for each command, named where forms are registered": {
        "as_csv",
        "as_dot",
        "as_json",
        "as_markdown",
        "as_mermaid",
        "document",
        "lines",
        "summary",
        "text",
    },
    "one for each format of flow logs, named where formats are registered": {"detects", "records"},
    "where a process begins": {"main"},
}
"""Names that several public classes or functions have, by the reason for it."""


@every_module
def test_nothing_is_swallowed(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{name}:{node.lineno}: bare except"
            caught = {leaf.id for leaf in ast.walk(node.type) if isinstance(leaf, ast.Name)}
            assert not caught & {"Exception", "BaseException"}, f"{name}:{node.lineno}"


def test_files_stay_readable() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_classes_have_one_job() -> None:
    """A class of many methods has more than one reason to change; so has one of the tests."""
    found: dict[str, int] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())) if path.suffix == ".py" else ():
            if isinstance(node, ast.ClassDef):
                found[f"{path.relative_to(ROOT)}: {node.name}"] = sum(
                    isinstance(own, (ast.FunctionDef, ast.AsyncFunctionDef)) for own in node.body
                )
    assert {name: methods for name, methods in found.items() if methods > MAX_METHODS} == {}


def test_folders_can_be_read_at_a_glance() -> None:
    folders = Counter(
        name.rpartition(".")[0] for name, path in MODULES.items() if path.name != "__init__.py"
    )
    assert {name: count for name, count in folders.items() if count > MAX_MODULES} == {}


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


def test_one_name_is_one_thing() -> None:
    """Whoever reads a name knows which class or function is meant, whatever module it is from."""
    where: dict[str, list[str]] = {}
    for name, tree in TREES.items():
        for found, _ in public(tree):
            if "." not in found:
                where.setdefault(found, []).append(name)
    several = {found: modules for found, modules in where.items() if len(modules) > 1}
    reasoned = {name for names in HOMONYMS.values() for name in names}
    assert {name: several[name] for name in several.keys() - reasoned} == {}
    assert reasoned <= several.keys(), "a reason is listed for what has one meaning"


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
