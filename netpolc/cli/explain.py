"""`netpolc explain`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable

import click

from netpolc.cli import options
from netpolc.cli.terminal import say
from netpolc.compiler import compile
from netpolc.errors import UsageError
from netpolc.explain import Explanation, explain_all, formats, policy

_USAGE = "give --src and --dst, or name a policy: PATH#NAMESPACE/NAME"
_EMPTY = "NP004"
"""What a snapshot of policies alone is warned of; it is all that a policy's own text needs."""


@click.command("explain")
@options.paths
@options.between(_USAGE)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="The form of the explanation.",
)
@click.option("--all", "every", is_flag=True, help="Show every near miss, not the closest three.")
@options.reading
@click.pass_context
def explain_(
    ctx: click.Context,
    paths: tuple[str, ...],
    asked: options.Between | None,
    form: str,
    every: bool,
    reading: options.Reading,
) -> None:
    """Say why a flow is allowed or denied, or what a policy means.

    With --src and --dst: in both directions every policy that was consulted, the rule that decides
    with its source lines, and for a denial what came close. Exit code 0 when the flow is allowed
    (in every address family the ends share), 1 when not.

    With PATH#NAMESPACE/NAME: that policy in plain sentences; other PATHs are context, such as the
    pods it selects. PATH#NAMESPACE is the namespace's annotation (--semantics v1.6).

    \b
    Examples:
      netpolc explain cluster/ --src shop/web-1 --dst shop/db-0 --port 5432
      netpolc explain cluster/ --src 192.0.2.7 --dst shop/web-1 --port 80 -o json
      netpolc explain policies/web.yaml#shop/web
      netpolc explain policies/web.yaml#shop/web pods.json
    """
    files, names = _split(paths)
    if (asked is None) != bool(names):
        raise UsageError(_USAGE)
    snapshot = reading.snapshot(files, quiet=(_EMPTY,) if names else ())
    if asked is None:
        found = [policy.describe(snapshot, policy.find(snapshot, name)) for name in names]
        _show_policies(found, form)
        return
    program = compile(snapshot)
    explanations = list(explain_all(program, snapshot, asked.flows(program)))
    show(explanations, form, None if every else formats.CLOSEST)
    ctx.exit(0 if all(explanation.verdict.allowed for explanation in explanations) else 1)


def _split(paths: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths, and the names of policies behind their `#`; a file may have that in its own name."""
    files, names = [], []
    for path in paths:
        file, mark, name = path.rpartition("#")
        if mark and file and name and not os.path.exists(path):
            path = file
            names.append(name)
        files.append(path)
    return tuple(files), tuple(names)


def show(explanations: Iterable[Explanation], form: str, most: int | None) -> None:
    """Print explanations of flows."""
    if form == "json":
        documents = [formats.document(explanation, most) for explanation in explanations]
        click.echo(json.dumps({"flows": documents}, indent=2))
        return
    for line in formats.text(explanations, most):
        say(line.text, line.style)


def _show_policies(descriptions: list[policy.Description], form: str) -> None:
    if form == "json":
        documents = [policy.document(description) for description in descriptions]
        click.echo(json.dumps({"policies": documents}, indent=2))
        return
    texts = ("\n".join(policy.text(description)) for description in descriptions)
    click.echo("\n\n".join(texts))
