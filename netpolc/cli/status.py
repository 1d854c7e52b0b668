"""`netpolc status`."""

from __future__ import annotations

import dataclasses
import json

import click

from netpolc.backends.nft import Options
from netpolc.backends.nft.kernel import Kernel, Loaded
from netpolc.cli import options
from netpolc.cli.apply import local_node


@click.command()
@options.optional_paths
@options.node
@options.all_pods
@options.table
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output.",
)
@options.reading
@click.pass_context
def status(
    ctx: click.Context,
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    table: str,
    form: str,
    reading: options.Reading,
) -> None:
    """Tell what is loaded: digest, since when, drop counters; with PATHs, whether it matches them.

    The comparison takes the options (hook, priority, deny, log) from the loaded table. Exit code 1
    when no table is loaded or it does not match.

    \b
    Examples:
      netpolc status
      netpolc status cluster/ --node node-a
    """
    loaded = Kernel().loaded(table)
    expected = None
    if paths:
        program = reading.program(paths)
        chosen = loaded.options if loaded is not None else Options(table)
        expected = program.ruleset(local_node(program, node, all_pods), chosen).digest
    matches = None if expected is None else loaded is not None and loaded.digest == expected
    click.echo(
        _as_json(loaded, expected, matches) if form == "json" else _as_text(table, loaded, expected)
    )
    ctx.exit(1 if loaded is None or matches is False else 0)


def _as_json(loaded: Loaded | None, expected: str | None, matches: bool | None) -> str:
    found = None
    if loaded is not None:
        found = {**dataclasses.asdict(loaded), "options": loaded.options.describe()}
    return json.dumps({"loaded": found, "expected": expected, "matches": matches}, indent=2)


def _as_text(table: str, loaded: Loaded | None, expected: str | None) -> str:
    if loaded is None:
        return f"table inet {table} is not loaded"
    lines = [
        f"table     inet {table}",
        f"digest    {loaded.digest}",
        f"loaded    {loaded.since or 'not by netpolc apply'}",
        f"options   {loaded.options.describe()}",
    ]
    if expected is not None:
        same = loaded.digest == expected
        lines.append(f"snapshot  {'matches' if same else f'differs: it would be {expected}'}")
    lines.append("")
    if not loaded.drops:
        return "\n".join([*lines, "no pod of this node is isolated"])
    width = max(len(entry.chain) for entry in loaded.drops)
    lines.append(f"{'chain':<{width}}  direction  {'denied':>10}  {'bytes':>12}  isolated by")
    lines.extend(
        f"{entry.chain:<{width}}  {entry.direction:<9}  {entry.packets:>10}  {entry.bytes:>12}  "
        f"{entry.policies}"
        for entry in loaded.drops
    )
    return "\n".join(lines)
