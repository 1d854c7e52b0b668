"""What is handed out: source distribution, metadata, manual pages, image, kubectl plugin.

In: a copy of the repository's files. Out: a source distribution that has all of them, metadata
whose links lead somewhere. The Debian package is built and installed by `.ci/deb`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import click
import pytest
from dockerfile_parse import DockerfileParser

import netpolc
from netpolc.cli import COMMANDS
from tests.cli.invocation import command_of
from tests.helpers.scenarios import ROOT

NO_SOURCES = {".venv", "build", "dist", ".git", "__pycache__", "netpolc.egg-info"}
"""Names of folders that the repository ignores."""
BUILT = (".so", ".pyc")
HOME = "https://github.com/netpolc/netpolc"


def sources() -> list[str]:
    """The files of the repository, by their paths in it."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return [path for path in found.stdout.splitlines() if (ROOT / path).is_file()]
    return [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix not in BUILT
        and not NO_SOURCES & set(path.relative_to(ROOT).parts)
        and not any(own.endswith("_cache") or own == ".hypothesis" for own in path.parts)
    ]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository without what was built from it."""
    folder = tmp_path_factory.mktemp("copy")
    for path in sources():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, folder / path, follow_symlinks=False)
    return folder


def built(copy: Path, hook: str, target: Path) -> Path:
    """What a hook of the build backend (PEP 517) makes in a folder."""
    target.mkdir()
    call = f"from setuptools import build_meta; print(build_meta.{hook}({str(target)!r}))"
    command = [sys.executable, "-c", call]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def test_the_source_distribution_is_the_repository(copy: Path, tmp_path: Path) -> None:
    archive = built(copy, "build_sdist", tmp_path / "sdist")
    top = f"netpolc-{netpolc.__version__}"
    with tarfile.open(archive) as files:
        held = {own.removeprefix(f"{top}/") for own in files.getnames()}
    missing = set(sources()) - held
    assert missing == set()
    for path in ("tests/cases", "docs/check.md", "Makefile", "distribution/deb", ".ci/run"):
        assert path in held
    assert not [path for path in held if path.endswith(BUILT)]


@pytest.fixture(scope="module")
def metadata(copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Message:
    """What PyPI is told."""
    target = tmp_path_factory.mktemp("made") / "metadata"
    found = built(copy, "prepare_metadata_for_build_wheel", target)
    return message_from_bytes((found / "METADATA").read_bytes())


def test_links_of_the_readme_lead_somewhere_from_pypi_too(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    links = re.findall(r"\]\(([^)]*)\)", str(metadata.get_payload()))
    here = re.findall(r"\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert len(links) == len(here) > 20
    for absolute, relative in zip(links, here, strict=True):
        assert absolute == f"{HOME}/blob/main/{relative}"
        assert (ROOT / relative.partition("#")[0]).exists(), relative


def test_the_metadata_says_where_and_for_whom(metadata: Message) -> None:
    urls = dict(own.split(", ", 1) for own in metadata.get_all("Project-URL", []))
    assert urls.keys() == {"Homepage", "Documentation", "Changelog", "Issues"}
    for url in urls.values():
        assert url.startswith(HOME)
        path = re.sub(r"^/(tree|blob)/main/", "", url.removeprefix(HOME))
        assert path in ("", "/issues") or (ROOT / path).exists()
    stated = metadata.get_all("Classifier", [])
    assert len(stated) == len(set(stated)) > 10
    versions = {own.rpartition(" ")[2] for own in stated if re.search(r":: 3\.\d+$", own)}
    built_for = re.findall(r"cp3(\d+)-\*", (ROOT / "pyproject.toml").read_text())
    assert versions == {f"3.{minor}" for minor in built_for}


def test_every_command_has_a_manual_page(tmp_path: Path) -> None:
    command = [sys.executable, "distribution/man.py", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    pages = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert pages.keys() == {"netpolc.1", *(f"netpolc-{name}.1" for name in COMMANDS)}
    for name in COMMANDS:
        page = pages[f"netpolc-{name}.1"].replace("\\-", "-")
        assert page.startswith(".TH "), name
        for parameter in command_of(name).params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert all(own in page for own in parameter.opts), (name, parameter.opts)
        assert f"netpolc {name}" in page.partition("Example")[2], name
        assert f"netpolc-{name}(1)" in pages["netpolc.1"].replace("\\-", "-")
        assert f"netpolc-{name}(1)" in pages["netpolc.1"].replace("\\-", "-")


def test_the_image_has_the_package_and_nothing_to_build_it_with() -> None:
    with (ROOT / "distribution" / "Dockerfile").open("rb") as file:
        steps = DockerfileParser(fileobj=file).structure
    starts = [at for at, own in enumerate(steps) if own["instruction"] == "FROM"]
    build, image = steps[starts[0] : starts[1]], steps[starts[1] :]
    base = build[0]["value"].removesuffix(" AS build")
    assert re.fullmatch(r"debian:[a-z]+-slim", base)
    assert image[0]["value"] == base  # the package is for the Python of one Debian
    assert [own["value"] for own in build if own["instruction"] == "COPY"] == [". /netpolc"]
    copied = [own["value"] for own in image if own["instruction"] == "COPY"]
    assert copied == ["--from=build /netpolc/dist/ /tmp/netpolc/"]
    last = {own["instruction"]: own["value"] for own in image}
    assert last["ENTRYPOINT"] == '["netpolc"]'
    assert last["USER"] not in ("0", "root")
    runs = [own["value"] for own in steps if own["instruction"] == "RUN"]
    for line in runs:
        subprocess.run(["bash", "-n"], input=line, text=True, check=True)
    assert "gcc" not in runs[-1]
    assert "rm -rf /var/lib/apt/lists/*" in runs[-1]
    assert {".git", ".venv", "build"} <= set((ROOT / ".dockerignore").read_text().split())


@pytest.mark.parametrize("path", ["distribution/deb", ".ci/deb", ".ci/deb-inside", ".ci/run"])
def test_scripts_are_shell(path: str) -> None:
    subprocess.run(["bash", "-n", path], cwd=ROOT, check=True)


def plugin(name: str, arguments: Sequence[str]) -> str:
    """What one of the programs that kubectl looks for prints."""
    beside = Path(sys.executable).with_name(name)
    command = [str(beside), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_kubectl_finds_a_plugin() -> None:
    assert plugin("kubectl-netpolc", ["--version"]) == f"netpolc {netpolc.__version__}\n"
    assert plugin("kubectl-netpolc", ["check", "-h"]).startswith("Usage: kubectl netpolc check ")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["conf"], ["confirm\tKeep the table that `netpolc apply...", ":4"]),
        (["compile", "examples/three-tier", "--node", ""], ["node-a", "node-b", ":4"]),
        (["check", "exam"], [":0"]),
        (["check", "--explain", "NP602"], ["NP602\tthe v1.6 annotation is misspelt", ":4"]),
    ],
)
def test_kubectl_completes_the_plugin(words: list[str], expected: list[str]) -> None:
    assert plugin("kubectl_complete-netpolc", words).splitlines() == expected
