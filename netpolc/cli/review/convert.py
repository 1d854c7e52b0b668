"""`netpolc convert`."""

from __future__ import annotations

import click

from netpolc.analysis.connectivity.changes import lines
from netpolc.analysis.conversion import as_yaml, changed, convert
from netpolc.cli import options
from netpolc.cli.output import write
from netpolc.cli.parameters import FILE
from netpolc.cli.terminal import warn
from netpolc.compiler import load
from netpolc.core.errors import Problems, UsageError, counted
from netpolc.frontends import Semantics, Treatment
from netpolc.manifests import File, read
from netpolc.manifests.files import lasting

_EMPTY = "NP004"
"""The code of what is said of a snapshot without pods, where policies alone are enough."""


@click.command("convert")
@options.paths
@click.option("--file", metavar="FILE", type=FILE, help="Where to write it [default: print].")
@options.reading
def convert_(paths: tuple[str, ...], file: str | None, reading: options.Reading) -> None:
    """Write policies of APIs that are gone as those of today, and prove that nothing changes.

    AdminNetworkPolicy and BaselineAdminNetworkPolicy become ClusterNetworkPolicy v1alpha2,
    NetworkPolicy of extensions/v1beta1 that of networking.k8s.io/v1; with --semantics v1.6
    annotations of namespaces become policies too. Only these are written, as YAML; other objects of
    PATHs (pods, namespaces, other policies) are what the proof looks at.

    Exit code 1, and nothing is written, if a connection would change. What has no equal is refused.

    \b
    Examples:
      netpolc convert cluster/ --file converted.yaml
      netpolc convert policies.yaml | kubectl apply --dry-run=server -f -
      netpolc convert old/ --semantics v1.6
    """
    if reading.odd_objects == Treatment.ISOLATE.value:
        raise UsageError("--odd-objects isolate: what is odd has no equal")
    problems = Problems()
    given = [own for path in paths for own in lasting(path, problems)]
    problems.raise_errors()
    snapshot = reading.snapshot(given, quiet=(_EMPTY,))
    found = convert(read(given, problems), snapshot, reading.semantics)
    problems.raise_errors()
    for text in found.left_out:
        warn(text)
    if not found.objects:
        warn("nothing to convert")
        return
    written = as_yaml(found.objects)
    after = load(
        [File("<converted>", written.encode())],
        semantics=Semantics.CURRENT.value,
        strict=reading.strict,
    )
    changes, others = changed(snapshot, found.replaced, after.policies)
    if changes or others:
        for text in others:
            warn(text)
        for line, _ in lines(changes):
            warn(line)
        warn("not converted: it would not mean the same")
        raise click.exceptions.Exit(1)
    write(written, file)
    warn(f"converted to {counted(len(found.objects), 'object')}: no connection changes")
