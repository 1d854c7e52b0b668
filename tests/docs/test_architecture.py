"""The map of the house in ARCHITECTURE.md, and the code that it draws, read with `ast`.

In: every module of the package. Out: imports that point downward only, siblings apart, I/O and the
`nftables` binding where they belong; and a map that draws every folder and every arrow, and names
no file that is not there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from netpolc.cli import COMMANDS
from tests.docs.modules import MODULES, NFT, TREES, every_module, imports, own_imports
from tests.helpers.scenarios import ROOT

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
LAYERS: tuple[tuple[str, ...], ...] = (
    ("netpolc", "netpolc.cli", "netpolc.pytest_plugin"),
    ("netpolc.agent", "netpolc.flows"),
    (
        "netpolc.analysis.conversion",
        "netpolc.analysis.expectations",
        "netpolc.analysis.fixes",
        "netpolc.analysis.report",
        "netpolc.live",
    ),
    (
        "netpolc.compiler",
        "netpolc.analysis.findings",
        "netpolc.analysis.connectivity",
        "netpolc.analysis.explain",
    ),
    ("netpolc.analysis",),
    ("netpolc.frontends", "netpolc.passes", "netpolc.backends", "netpolc.apiserver"),
    ("netpolc.manifests",),
    ("netpolc.core.ends",),
    ("netpolc.core.semantics",),
    ("netpolc.core.program",),
    ("netpolc.core.cluster", "netpolc.core.labels"),
    ("netpolc.core.expectation",),
    ("netpolc.core.ir",),
    ("netpolc.core.foreign", "netpolc.files", "netpolc.core.unions"),
    ("netpolc.core.nets", "netpolc.core.errors", "netpolc.core.patterns"),
    ("netpolc.core", "netpolc._version"),
)
"""Top to bottom. What stands on one line may import what stands on a later one, never each other;
`cluster` and `labels` are stated in terms of the IR, `nets` and `errors` in terms of nothing."""
ROOMS = {
    "lower": set[str](),
    "write": set[str](),
    "readback": set[str](),
    "signals": set[str](),
    "netlink": set[str](),
    "rollout": {"write", "readback", "signals", "netlink"},
}
"""The rooms of the nftables backend, and the others that each may import. All of them share what
stands beside them: names, model, objects, options, wording."""
SHARED = {"names", "model", "objects", "options", "wording"}
BINDING = (f"{NFT}.rollout.libnftables.session", f"{NFT}.rollout.libnftables.worker")
"""Starts the process that runs libnftables, and is it."""
STORE = "netpolc.backends.matcher.store"
GENERATION = f"{NFT}.rollout.netfilter.generation"
WITH_IO = (
    "netpolc.cli",
    "netpolc.agent",
    "netpolc.manifests",
    "netpolc.apiserver",
    "netpolc.files",  # everything that is written
    *BINDING,
    f"{NFT}.rollout.libnftables.channel",  # asks which capabilities there are
    f"{NFT}.rollout.netfilter.conntrack",  # open flows
    f"{NFT}.netlink.wire",  # asks nf_tables, connection tracking and routing
    f"{NFT}.rollout.stopping",  # signals
    f"{NFT}.rollout.runtime",  # locks and saved tables in /run
    f"{NFT}.rollout.guard",  # a process that undoes what nobody confirms
    GENERATION,
    f"{NFT}.rollout.netfilter.monitor",  # who changes the table
    STORE,
    "netpolc.flows.sources",  # logs: files, folders, standard input
    "netpolc.flows.engines.dask",  # brings the file of a matcher to workers
    "netpolc.flows.engines.spark",  # the same
)
INET = {"AF_INET", "AF_INET6", "inet_ntoa", "inet_ntop", "inet_pton"}
IO_MODULES = {
    "asyncio", "fcntl", "fileinput", "glob", "http", "io", "mmap", "multiprocessing", "os",
    "pathlib", "selectors", "shutil", "signal", "socket", "ssl", "subprocess", "tempfile",
    "threading", "urllib",
}  # fmt: skip
HARMLESS = {
    "io.BytesIO",
    "io.StringIO",
    "os.PathLike",
    "urllib.parse.quote",
    *(f"socket.{name}" for name in INET),
}
IO_CALLS = {"open", "print", "input", "breakpoint", "exec", "eval", "__import__"}


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


@pytest.mark.parametrize("name", [n for n in sorted(MODULES) if n.startswith(f"{NFT}.")])
def test_rooms_of_nftables_import_as_drawn(name: str) -> None:
    """Reading back shares no code with writing: the proof would believe what it proves."""
    room = name.removeprefix(f"{NFT}.").partition(".")[0]
    for target in own_imports(name):
        if target.startswith(f"{NFT}."):
            other = target.removeprefix(f"{NFT}.").partition(".")[0]
            if room in SHARED:
                assert other in SHARED, f"{name} is shared by the rooms and imports {target}"
            else:
                allowed = {room, *ROOMS[room], *SHARED}
                assert other in allowed, f"{room} must not import {other}: {name} -> {target}"


def drawn(first: str) -> list[str]:
    """The lines of the picture in ARCHITECTURE.md that begins so."""
    pictures: list[str] = re.findall(r"^```\n(.*?)^```$", ARCHITECTURE, re.DOTALL | re.MULTILINE)
    (found,) = (picture for picture in pictures if picture.startswith(first))
    return found.splitlines()


def drawn_folders() -> Iterator[str]:
    """Every folder of the tree in ARCHITECTURE.md, as a path: two spaces are one level."""
    above: list[str] = []
    for line in drawn("netpolc/\n"):
        found = re.match(r"( *)(\S+)/(?: |$)", line)
        if found:
            above[len(found[1]) // 2 :] = [found[2]]
            yield "/".join(above)


def test_the_map_draws_every_folder() -> None:
    folders = {str(path.parent.relative_to(ROOT)) for path in MODULES.values()}
    others = {found for found in drawn_folders() if not found.startswith("netpolc")}
    assert {*drawn_folders()} - others == folders
    assert all((ROOT / found).is_dir() for found in others)


def test_the_map_draws_the_arrows() -> None:
    rows = [line.removeprefix("▼").removeprefix("│").split() for line in drawn("│ netpolc")]
    layers = [[part.removeprefix("netpolc.").replace(".", "/") for part in row] for row in LAYERS]
    assert [sorted(row) for row in rows] == [sorted(row) for row in layers]
    rooms = dict(
        re.findall(r"^\| `(\w+)` \| (none|`\w+`.*?)(?::.*)? \|$", ARCHITECTURE, re.MULTILINE)
    )
    assert {room: {*re.findall(r"`(\w+)`", others)} for room, others in rooms.items()} == ROOMS
    (shared,) = re.findall(r"what stands beside them: (.*)\.", ARCHITECTURE)
    assert {*re.findall(r"`(\w+)`", shared)} == SHARED


def named_files(path: Path) -> set[str]:
    """What a text calls a file of Python or Cython."""
    return set(re.findall(r"[\w/.-]*\b\w+\.(?:pyx?|pxd|pxi)\b", path.read_text()))


def test_documents_name_files_that_exist() -> None:
    """By the end of a path: `lower/cost.py` is in some folder `lower`."""
    tops = ("netpolc", "ext", "tests", "benches", "examples")
    files = {f"/{path.relative_to(ROOT)}" for top in tops for path in ROOT.glob(f"{top}/**/*.p*")}
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benches/**/*.py")]
    missing = [
        f"{document.relative_to(ROOT)} names {name}"
        for document in documents
        for name in named_files(document)
        if not any(path.endswith(f"/{name.replace('../', '')}") for path in files)
    ]
    assert missing == []


def test_modules_name_files_that_exist() -> None:
    """From the folder of the module, or from one above it."""
    missing = [
        f"{path.relative_to(ROOT)} names {name}"
        for path in MODULES.values()
        for name in named_files(path)
        if not any((above / name).exists() for above in path.parents if above.is_relative_to(ROOT))
    ]
    assert missing == []


@pytest.mark.parametrize(
    "name", [f"{NFT}.objects", *(n for n in sorted(MODULES) if n.startswith(f"{NFT}.write"))]
)
def test_what_is_written_is_never_taken_apart(name: str) -> None:
    """Objects say what they refer to and hold; patterns are for text that others wrote."""
    assert not {target.partition(".")[0] for target in imports(name)} & {"re", "fnmatch"}


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
    """What all of them are is in `form`; `forms` has a line for each of them."""
    own = name.split(".")[2]
    if own == "forms":
        return
    for target in own_imports(name):
        if target.startswith("netpolc.backends."):
            assert target.split(".")[2] in (own, "form"), f"{name} -> {target}"


@every_module
def test_a_frontend_never_reads_files_and_a_pass_never_text(name: str) -> None:
    targets = set(own_imports(name))
    if name.startswith(("netpolc.passes", "netpolc.backends", "netpolc.core.semantics")):
        assert not any(target.startswith("netpolc.manifests") for target in targets)
    if name.startswith("netpolc.manifests"):
        assert targets <= {n for n in MODULES if n.startswith("netpolc.manifests")} | {
            "netpolc.core.errors",
            "netpolc.files",  # the tree of a revision is written down to be rendered
        }


@pytest.mark.parametrize("above", ["netpolc.frontends", "netpolc.cli"])
def test_siblings_share_what_stands_beside_them(above: str) -> None:
    """What two APIs, or two groups of commands, need is in no folder of either."""
    for name in MODULES:
        folder = name.removeprefix(f"{above}.").partition(".")[0]
        if name.startswith(f"{above}.{folder}."):
            for target in own_imports(name):
                other = target.removeprefix(f"{above}.").partition(".")[0]
                inside = target.startswith(f"{above}.{other}.")
                assert other == folder or not inside, f"{name} -> {target}"


@every_module
def test_only_a_process_of_its_own_runs_libnftables(name: str) -> None:
    for node in ast.walk(TREES[name]):
        named = {
            *(alias.name for alias in getattr(node, "names", ()) if isinstance(alias, ast.alias)),
            getattr(node, "module", None),
            node.value if isinstance(node, ast.Constant) else None,
        }
        if "nftables" in named and name not in BINDING:
            # The key of libnftables JSON is the same word: a constant where that is in use.
            json = {
                f"{NFT}.{own}"
                for own in (
                    "write.json",
                    "rollout.state.loaded",
                    "readback.parse_json",
                    "rollout.state.facts",
                )
            }
            assert name in json, name
            assert isinstance(node, ast.Constant)


@every_module
def test_io_is_where_it_belongs(name: str) -> None:
    if name.startswith(WITH_IO):
        return
    used = {target for target in imports(name) if target.partition(".")[0] in IO_MODULES}
    whole = used & IO_MODULES
    used |= {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in whole
    }
    assert used - whole <= HARMLESS, f"{name} uses {used - whole - HARMLESS}"
    for module in whole:  # under another name nobody would see what is used of it
        assert f"import {module}\n" in MODULES[name].read_text(), f"{name} imports {module}"
    calls = {
        node.func.id
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & IO_CALLS == set(), name


@pytest.mark.parametrize("name", [n for n in sorted(MODULES) if n.startswith("netpolc.cli")])
def test_only_what_escapes_prints(name: str) -> None:
    """Lines of people and tenants go through `terminal`, whole forms through `output`."""
    own_words = "netpolc.cli.interruption"  # the name of a signal, before anything else is known
    if name not in ("netpolc.cli.terminal", "netpolc.cli.output", own_words):
        attributes = {n.attr for n in ast.walk(TREES[name]) if isinstance(n, ast.Attribute)}
        assert not attributes & {"echo", "secho"}, name


def test_commands_do_not_import_commands() -> None:
    """What two of them need stands beside them, in a module of its own."""
    commands = {f"netpolc.cli.{where.rpartition('.')[0]}": name for name, where in COMMANDS.items()}
    for module, name in commands.items():
        assert module in MODULES
        assert module.endswith(f".{name}"), "a command has the name of its module"
    for name in commands:
        assert not commands.keys() & {*own_imports(name)} - {name}, name
