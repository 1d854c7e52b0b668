"""`netpolc compile`."""

from __future__ import annotations

import click

from netpolc.backends.forms import forms
from netpolc.backends.nft import Options
from netpolc.cli import options, table_options
from netpolc.cli.output import write, write_all
from netpolc.cli.parameters import output
from netpolc.core.errors import UsageError


def _about() -> str:
    """What the forms are, in one sentence."""
    *others, last = (form.about for form in forms().values())
    return f"{', '.join(others)}, or {last}."


@click.command("compile")
@options.optional_paths
@options.node
@click.option(
    "--all-nodes",
    is_flag=True,
    help="Write one file for each node into the folder given with --file.",
)
@output(
    forms,
    "nft",
    _about(),
    "A file, or with --all-nodes a folder [default: print].",
    once=("--format",),
)
@table_options.ruleset
@options.reading
@options.cluster(enforces=True, narrows=False)
def compile_(
    paths: tuple[str, ...],
    node: str | None,
    all_nodes: bool,
    form: str,
    file: str | None,
    chosen: Options,
    reading: options.Reading,
) -> None:
    """Compile manifests to an nftables ruleset.

    Without --node or --all-nodes every pod of the snapshot is taken as local: a single host, a lab.

    \b
    Examples:
      netpolc compile cluster/ extra.yaml --node node-a --file node-a.nft
      netpolc compile cluster/ --all-nodes --file rulesets/
      kubectl get ns,pods,nodes,netpol -A -o json | netpolc compile - --node node-a
      netpolc compile cluster/ -o ir
      netpolc compile --context prod --node node-a
    """
    backend = forms()[form]
    if all_nodes and (node is not None or file is None or not backend.per_node):
        whole = " or ".join(own.name for own in forms().values() if not own.per_node)
        raise UsageError(
            f"--all-nodes goes with --file FOLDER, without --node and without -o {whole}"
        )
    program = reading.program(paths)
    emit = backend.open(program)

    def text(name: str | None) -> str:
        return emit(name, chosen)

    if all_nodes and file is not None:
        if not program.cluster.nodes:
            raise UsageError("the snapshot has no nodes")
        write_all(list(program.cluster.nodes), file, text, f".{form}")
    else:
        write(text(node), file)
