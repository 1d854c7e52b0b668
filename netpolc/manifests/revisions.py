"""Manifests at a git revision as they were applied: kustomizations and charts are rendered.

Comes in: a revision and paths. Goes out: `File`s named `REVISION:path`, those that were rendered
with the name of the program behind it; which paths the revision does not have, and what cannot be
rendered. Refused: what `git` refuses, and trees that are too large to be written down.

The tree of the revision lies in a folder of its own for as long as the programs run. Links that
lead out of it are left out, so what they are given is what the revision holds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from netpolc.core.errors import Problems, UsageError
from netpolc.manifests.files import Excluded, File, excluding, find
from netpolc.manifests.git import Tree, files_at, tree_of
from netpolc.manifests.rendering import Values, rendered


@dataclass(slots=True)
class Revision:
    """What a revision has of some paths."""

    files: list[File] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Paths that it does not have, or without a manifest in them."""
    said: list[str] = field(default_factory=list)
    """What was run."""
    broken: list[str] = field(default_factory=list)
    """Why something cannot be rendered."""


def read_revision(
    revision: str, paths: Sequence[str], excluded: Excluded, values: Values | None
) -> Revision:
    """The manifests of these paths at a revision; without `values` files are taken as they are.

    `UsageError` when the revision cannot be had.
    """
    found = Revision()
    for path in paths:
        tree = tree_of(revision, path)
        if values is not None and tree.is_rendered:
            _render(tree, excluded, values, found)
            continue
        own = files_at(tree, excluded)
        found.files += own
        if not own:
            found.missing.append(path)
    return found


def _render(tree: Tree, excluded: Excluded, values: Values, found: Revision) -> None:
    with TemporaryDirectory(prefix="netpolc-") as name:
        top = Path(os.path.realpath(name))
        tree.write(top)

        def hidden(inside: str) -> bool:
            """By the path that it has in the working tree."""
            own = os.path.join(os.path.realpath(os.path.dirname(inside)), os.path.basename(inside))
            return excluded(str(tree.top / os.path.relpath(own, top)))

        shown = f"{tree.revision}:{tree.inside}"
        start = str(top / tree.inside)
        try:
            given, patterns, said = rendered([start], hidden, values)
        except UsageError as error:  # that the programs are missing is told of the other side, too
            found.broken.append(str(error).replace(start, shown).replace(str(top), tree.revision))
            return
        covered = excluding(patterns)
        problems = Problems()
        files = list(find(given, problems, lambda own: hidden(own) or covered(own)))
        problems.raise_errors()
        for file in files:
            name = file.name.replace(start, shown)
            found.files.append(File(name, file.read(), file.in_folder))
        found.said += [line.replace(start, shown) for line in said]
