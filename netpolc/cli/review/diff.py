"""`netpolc diff`."""

from __future__ import annotations

import click

from netpolc.analysis.connectivity.changes import Changes, as_dot, as_summary, lines
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.connectivity.difference.publishing import published_changes
from netpolc.analysis.connectivity.forms import DIFFERENCES
from netpolc.analysis.report import comparison
from netpolc.cli import options
from netpolc.cli.output import write
from netpolc.cli.parameters import FILE, output
from netpolc.cli.review.graphviz import svg
from netpolc.cli.review.revisions import revision_and_now
from netpolc.cli.terminal import progress, show, warn
from netpolc.core.errors import UsageError


@click.command()
@options.optional_paths
@click.option("--git", "revision", metavar="REV", help="Compare PATHs at this revision with now.")
@click.option(
    "--with",
    "common",
    multiple=True,
    metavar="PATH",
    type=FILE,
    help="Manifests that are in both snapshots.",
)
@output(
    lambda: ("table", *DIFFERENCES, "svg", "html"),
    "table",
    "The form of the differences; svg needs Graphviz.",
)
@click.option(
    "--summary",
    is_flag=True,
    help="A comment for a pull request, in Markdown: what opens and closes between namespaces.",
)
@options.configured_reading
@options.cluster()
@click.pass_context
def diff(
    ctx: click.Context,
    paths: tuple[str, ...],
    revision: str | None,
    common: tuple[str, ...],
    form: str,
    file: str | None,
    summary: bool,
    reading: options.Reading,
) -> None:
    """Tell what connections change from OLD to NEW, with an example and the policy of each.

    What is compared is what the two snapshots mean: policies written in other words are no
    difference. Exit code 1 when there is one.

    With a live cluster: what applying PATH to it would open and close. Objects of PATH take the
    place of those that the cluster has by their names; nothing is deleted.

    \b
    Examples:
      netpolc diff old/ new/
      netpolc diff policies-before.yaml policies.yaml --with cluster.json
      netpolc diff --git origin/main k8s/ --summary --file comment.md
      netpolc diff old/ new/ -o html --file change.html
      netpolc diff --context prod k8s/
    """
    if summary and form not in ("table", "md"):
        raise UsageError("--summary is Markdown: leave out -o")
    live = reading.cluster
    if live is not None and (revision is not None or len(paths) != 1):
        raise UsageError("with a live cluster give one PATH: what would be applied to it")
    if live is None and revision is None and len(paths) != 2:
        raise UsageError("give OLD and NEW, --git REV and PATHs, or a live cluster and PATH")
    reading = reading.configured((*paths, *common))
    if live is not None:
        old = reading.program(common)
        new = reading.program((*paths, *common))
    elif revision is not None:
        old, new = revision_and_now(reading, revision, paths, common)
    else:
        old = reading.program((paths[0], *common))
        new = reading.program((paths[1], *common))
    if not (old.cluster.pods or new.cluster.pods):
        warn("neither side has a pod or a workload: policies alone change no connection")
    sides = (revision, "now") if revision is not None else paths
    if live is not None:
        sides = (live.name, f"{live.name} with {paths[0]}")
    difference = Difference(old, new)
    with progress("comparing") as report:
        changes = [*difference.changes(report), *published_changes(difference)]
    found = Changes(
        changes,
        difference.new_workloads,
        difference.lost_workloads,
        tuple(sorted({*old.unread, *new.unread})),
        tuple(sorted({*old.unread} ^ {*new.unread})),
    )
    if summary:
        write(as_summary(found), file)
    elif form == "table":
        show(lines(found), file)
    elif form == "svg":
        write(svg(as_dot(found)), file)
    elif form == "html":
        write(comparison(difference, " → ".join(sides)), file)
    else:
        write(DIFFERENCES[form](found), file)
    ctx.exit(1 if found else 0)
