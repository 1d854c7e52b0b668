"""How `diff --git` starts git: as one that reads a repository of strangers.

In: a harmless repository, and a stand-in for git that writes down how it was called before it calls
git. Out: started outside the repository, told where it is, with everything off that could run
something or reach a network; no folder of the tree is taken for a repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.cli.invocation import NOBODY, run

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n"
STAND_IN = """#!{python}
import json, os, sys
with open({log!r}, "a") as log:
    seen = {{"cwd": os.getcwd(), "words": sys.argv[1:], "environment": dict(os.environ)}}
    log.write(json.dumps(seen) + "\\n")
os.execv({git!r}, ["git", *sys.argv[1:]])
"""
OFF = {
    "core.alternateRefsCommand=", "core.attributesFile=/dev/null", "core.fsmonitor=false",
    "core.gitProxy=", "core.hooksPath=/dev/null", "core.pager=cat", "core.sshCommand=false",
    "credential.helper=", "diff.external=", "gpg.program=false", "protocol.allow=never",
    "safe.bareRepository=explicit",
}  # fmt: skip
CLOSED = {
    "GIT_ALLOW_PROTOCOL": "",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


def git(folder: Path, *words: str) -> None:
    """A command of git's, with a name to commit by."""
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a manifest in a folder."""
    folder = tmp_path / "repository"
    (folder / "k8s").mkdir(parents=True)
    (folder / "k8s" / "a.yaml").write_text(NAMESPACE)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the stand-in, the only git in `bin`, writes."""
    (tmp_path / "bin").mkdir()
    found = shutil.which("git")
    assert found is not None
    path = tmp_path / "log"
    script = tmp_path / "bin" / "git"
    script.write_text(STAND_IN.format(python=sys.executable, log=str(path), git=found))
    script.chmod(0o755)
    return path


def diff(folder: Path, log: Path, **environment: str) -> list[dict[str, Any]]:
    """Compare the folder with its revision: nothing differs. Gives the calls of git."""
    path = f"{log.parent / 'bin'}:{os.environ['PATH']}"
    outcome = run(
        "diff", "--git", "HEAD", ".", cwd=folder, environment={"PATH": path, **environment}
    )
    assert (outcome.code, outcome.stdout) == (0, "no difference\n"), outcome.stderr
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_git_is_started_elsewhere_and_told_everything(repository: Path, log: Path) -> None:
    elsewhere = {"GIT_DIR": "/nowhere", "GIT_EXTERNAL_DIFF": "false", "GIT_CONFIG_COUNT": "x"}
    calls = diff(repository / "k8s", log, **elsewhere)
    assert {words for call in calls for words in call["words"] if words[:1] != "-"} >= {
        "rev-parse",
        "ls-tree",
        "cat-file",
    }
    for call in calls:
        assert call["cwd"] == "/"
        assert f"--git-dir={repository}/.git" in call["words"]
        words = call["words"]
        assert {own for flag, own in pairwise(words) if flag == "-c"} == OFF
        assert {"--no-pager", "--literal-pathspecs"} < set(call["words"])
        assert not {"--textconv", "--filters"} & set(call["words"])
        given = {n: own for n, own in call["environment"].items() if n.startswith("GIT_")}
        assert given == CLOSED


def test_a_folder_that_looks_like_a_repository_is_a_folder(repository: Path, log: Path) -> None:
    """It has what the inside of a `.git` has, and could be in any pull request."""
    inside = repository / "k8s" / "bare"
    git(repository, "init", "--quiet", "--bare", str(inside))
    (inside / "a.yaml").write_text(NAMESPACE.replace("a}", "b}"))
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "second")
    for call in diff(inside, log):
        assert f"--git-dir={repository}/.git" in call["words"]


def test_worktrees_and_submodules_have_a_file_for_a_folder(repository: Path, log: Path) -> None:
    other = repository.parent / "other"
    git(repository, "worktree", "add", "--quiet", str(other))
    for call in diff(other / "k8s", log):
        assert f"--git-dir={other}/.git" in call["words"]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a repository to another user: needs root")
def test_repositories_of_others_need_safe_directory(
    repository: Path, log: Path, tmp_path: Path
) -> None:
    os.chown(repository / ".git", NOBODY, NOBODY)
    home = tmp_path / "home"
    home.mkdir()
    outcome = run("diff", "--git", "HEAD", ".", cwd=repository, environment={"HOME": str(home)})
    assert outcome.code == 2
    assert f"the git repository {repository} belongs to another user" in outcome.stderr
    (home / ".gitconfig").write_text(f"[safe]\n\tdirectory = {repository}\n")
    calls = diff(repository, log, HOME=str(home))
    assert "safe.directory" in calls[0]["words"]


def test_paths_are_names_and_no_patterns(repository: Path, log: Path) -> None:
    folder = repository / ":(top)"
    folder.mkdir()
    (folder / "b.yaml").write_text(NAMESPACE)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "second")
    diff(folder, log)
