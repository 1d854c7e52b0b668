"""`netpolc test`."""

from __future__ import annotations

import click

from netpolc.cli import options
from netpolc.cli.host import on_this_host
from netpolc.cli.output import write
from netpolc.cli.parameters import output
from netpolc.cli.terminal import progress, show, warn
from netpolc.core.errors import UsageError


@click.command("test")
@options.optional_paths
@output(lambda: ("text", "json", "junit"), "text", "The form of the results.")
@options.configured_reading
@options.cluster()
@click.pass_context
def test_(
    ctx: click.Context,
    paths: tuple[str, ...],
    form: str,
    file: str | None,
    reading: options.Reading,
) -> None:
    """Judge what Expectations objects expect of the policies.

    PATHs hold both. Every flow that an expectation is about is judged, or one for all that no
    policy tells apart. Exit code 1 when one comes out otherwise. Needs NumPy
    (pip install netpolc[matcher]).

    \b
    Examples:
      netpolc test k8s/ expectations.yaml
      netpolc test k8s/ -o junit --file results.xml
      netpolc test --context prod expectations.yaml
    """
    try:
        from netpolc.analysis.expectations import ExpectationRunner
        from netpolc.analysis.expectations.formats import FORMS, lines
    except ImportError as error:
        raise UsageError(f"test: {error}") from None
    snapshot = reading.snapshot(paths, quiet=("NP004",))
    if not snapshot.expectations:
        raise UsageError("no Expectations object (netpolc.dev/v1) among the PATHs")
    judge = ExpectationRunner(on_this_host(snapshot))
    results = []
    with progress("judging") as report:
        for number, expectation in enumerate(snapshot.expectations):
            report(number, len(snapshot.expectations))
            results.append(judge.result(expectation))
    for note in dict.fromkeys(note for result in results for note in result.notes):
        warn(f"note: {note}")
    if form == "text":
        show(lines(results, snapshot.unread), file)
    else:
        write(FORMS[form](results, snapshot.unread), file)
    ctx.exit(0 if all(result.passed for result in results) else 1)
