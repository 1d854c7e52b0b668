"""`netpolc compile`."""

from __future__ import annotations

import click

from netpolc.backends.nft import Options, Ruleset
from netpolc.cli import options
from netpolc.cli.output import write, write_all
from netpolc.errors import UsageError

_FORM = {"nft": Ruleset.text, "json": Ruleset.json}


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
    type=click.Choice(["nft", "json", "ir"]),
    default="nft",
    show_default=True,
    help="nft text, libnftables JSON, or the resolved tuples as JSON.",
)
@options.ruleset
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
    if all_nodes and (node is not None or output is None or form == "ir"):
        raise UsageError("--all-nodes goes with -o FOLDER, without --node and without --format ir")
    program = reading.program(paths)
    if form == "ir":
        write(program.document(), output)
        return

    def text(name: str | None) -> str:
        return _FORM[form](program.ruleset(name, chosen))

    if all_nodes and output is not None:
        if not program.cluster.nodes:
            raise UsageError("the snapshot has no nodes")
        write_all(list(program.cluster.nodes), output, text, f".{form}")
    else:
        write(text(node), output)
