"""`netpolc eval`."""

from __future__ import annotations

import click

from netpolc.analysis.explain import explain_all
from netpolc.analysis.explain.formats import CLOSEST, briefs
from netpolc.analysis.explain.forms import FLOWS
from netpolc.cli import options
from netpolc.cli.host import on_this_host, say_remarks
from netpolc.cli.output import write, writing
from netpolc.cli.parameters import FILE, output
from netpolc.cli.terminal import progress, show, warn
from netpolc.compiler import Program, compile
from netpolc.core.cluster import not_judged
from netpolc.core.errors import UsageError

_USAGE = "give --src and --dst, or --flows"


@click.command("eval")
@options.optional_paths
@options.between(_USAGE)
@click.option(
    "--flows",
    metavar="FILE",
    type=FILE,
    help="Judge every row of a flow log: a file, a folder, a pattern, or - for standard input.",
)
@options.log_format
@click.option(
    "--keep-going", is_flag=True, help="Of --flows: count what cannot be read, and go on."
)
@output(
    lambda: ("text", *FLOWS),
    "text",
    "The form of one verdict; --flows writes that of the log.",
    once=(),
)
@options.configured_reading
@options.cluster(narrows=False)
@click.pass_context
def eval_(
    ctx: click.Context,
    paths: tuple[str, ...],
    asked: options.Between | None,
    flows: str | None,
    log_format: str | None,
    keep_going: bool,
    form: str,
    file: str | None,
    reading: options.Reading,
) -> None:
    """Tell whether a flow is allowed, and which rules decide.

    One flow: exit code 0 when it is allowed (for every address family the ends share), 1 when not.

    \b
    Many: --flows takes rows with src, dst, protocol and port (CSV with a header, JSON lines) and
    writes them with a column verdict: ALLOW, DENY or INVALID. Rows that are no flow are reported
    with their line; the exit code is 1 when there were any. Needs NumPy (pip install
    netpolc[matcher]). Logs of the other formats that netpolc audit reads are written as CSV; these
    and packed logs need pyarrow (pip install netpolc[audit]).

    \b
    Examples:
      netpolc eval cluster/ --src shop/web-1 --dst shop/db-0 --port 5432
      netpolc eval k8s/ --src shop/web --dst 'shop/db[StatefulSet]' --port 5432
      netpolc eval cluster/ --src 192.0.2.7 --dst shop/web-1 --protocol ICMP
      netpolc eval cluster/ --flows flows.csv --file judged.csv
      hubble observe -o json | netpolc eval cluster/ --flows - >judged.csv
      netpolc eval -A --src shop/web --dst shop/db --port 5432
    """
    if (asked is None) == (flows is None):
        raise UsageError(_USAGE)
    if flows is not None and form != "text":
        raise UsageError("--flows writes the form of the log: leave -o out")
    listed = reading.snapshot(paths)
    snapshot = on_this_host(listed)
    program = compile(snapshot)
    if asked is not None:
        explanations = list(explain_all(program, snapshot, asked.flows(program)))
        if form == "text":
            told = [not_judged(listed.unread)] if listed.unread else []
            show(((line, "") for line in (*briefs(explanations), *told)), file)
        else:
            write(FLOWS[form](explanations, CLOSEST, listed.unread), file)
        say_remarks(explanations, listed.cluster, program)
        ctx.exit(0 if all(found.verdict.allowed for found in explanations) else 1)
    ctx.exit(_judge_log(program, flows or "-", log_format, keep_going, file))


def _judge_log(
    program: Program, path: str, log_format: str | None, keep_going: bool, file: str | None
) -> int:
    """Stream logs through the matcher; the exit code."""
    try:
        from netpolc.flows import judge_log  # needs NumPy, which the rest of the command does not
        from netpolc.flows.notes import LogNotes
    except ImportError as error:
        is_numpy = error.name == "numpy"
        needs = "needs NumPy: pip install netpolc[matcher]" if is_numpy else error
        raise UsageError(f"--flows: {needs}") from None

    def report(place: str, problem: str) -> None:
        warn(f"{place}: {problem}")

    notes = LogNotes(keep_going=keep_going)
    with writing(file) as out, progress("judging", of_bytes=True) as report_bytes:
        counts = judge_log(program, [path], out, notes, report, log_format, report_bytes)
    warn(str(counts))
    for note in notes:
        warn(str(note))
    return 0 if not counts.bad and notes.is_whole else 1
