"""`netpolc compile`."""

from __future__ import annotations

import click

from netpolc.backends.forms import forms
from netpolc.backends.nft import Options
from netpolc.cli import options, table_options
from netpolc.cli.output import write, write_all
from netpolc.core.errors import UsageError


def _about() -> str:
    """What the forms are, in one sentence."""
    *others, last = (form.about for form in forms().values())
    return f"{', '.join(others)}, or {last}."


@click.command("compile")
@options.paths
@options.node
@click.option(
    "--all-nodes", is_flag=True, help="Write one file for each node into the folder given with -o."
)
@click.option(
    "-o", "--output", metavar="FILE", help="A file, or with --all-nodes a folder [default: print]."
)
@click.option(
    "--format",
    "form",
    type=options.Registered(forms),
    default="nft",
    show_default=True,
    help=_about(),
)
@table_options.ruleset
@options.reading
def compile_(
    paths: tuple[str, ...],
    node: str | None,
    all_nodes: bool,
    output: str | None,
    form: str,
    chosen: Options,
    reading: options.Reading,
) -> None:
    """Compile manifests to an nftables ruleset.

    Without --node or --all-nodes every pod of the snapshot is taken as local: a single host, a lab.

    \b
    Examples:
      netpolc compile cluster/ extra.yaml --node node-a -o node-a.nft
      netpolc compile cluster/ --all-nodes -o rulesets/
      kubectl get ns,pods,nodes,netpol -A -o json | netpolc compile - --node node-a
      netpolc compile cluster/ --format ir
    """
    backend = forms()[form]
    if all_nodes and (node is not None or output is None or not backend.per_node):
        whole = " or ".join(own.name for own in forms().values() if not own.per_node)
        raise UsageError(
            f"--all-nodes goes with -o FOLDER, without --node and without --format {whole}"
        )
    program = reading.program(paths)
    emit = backend.open(program)

    def text(name: str | None) -> str:
        return emit(name, chosen)

    if all_nodes and output is not None:
        if not program.cluster.nodes:
            raise UsageError("the snapshot has no nodes")
        write_all(list(program.cluster.nodes), output, text, f".{form}")
    else:
        write(text(node), output)
