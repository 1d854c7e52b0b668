"""`netpolc eval`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

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
    help="Judge every row of a CSV (with a header) or JSON-lines file, or - for standard input.",
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
    form: str,
    file: str | None,
    reading: options.Reading,
) -> None:
    """Tell whether a flow is allowed, and which rules decide.

    One flow: exit code 0 when it is allowed (for every address family the ends share), 1 when not.

    \b
    Many: --flows takes rows with src, dst, protocol and port and writes them with a column verdict:
    ALLOW, DENY or INVALID. Rows that are no flow are reported with their line; the exit code is 1
    when there were any. Needs NumPy (pip install netpolc[matcher]).

    \b
    Examples:
      netpolc eval cluster/ --src shop/web-1 --dst shop/db-0 --port 5432
      netpolc eval k8s/ --src shop/web --dst 'shop/db[StatefulSet]' --port 5432
      netpolc eval cluster/ --src 192.0.2.7 --dst shop/web-1 --protocol ICMP
      netpolc eval cluster/ --flows flows.csv --file judged.csv
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
    ctx.exit(_judge_log(program, flows or "-", file))


def _judge_log(program: Program, path: str, file: str | None) -> int:
    """Stream a log through the matcher; the exit code."""
    try:
        from netpolc.flows import judge_log  # needs NumPy, which the rest of the command does not
    except ImportError as error:
        raise UsageError(f"--flows: {error}") from None

    def report(line: int, problem: str) -> None:
        warn(f"{'standard input' if path == '-' else path}:{line}: {problem}")

    with (
        _opened(path) as raw,
        writing(file) as out,
        progress("judging", of_bytes=True) as report_bytes,
    ):
        size = 0 if path == "-" else Path(path).stat().st_size

        def advance() -> None:
            if size:
                report_bytes(raw.tell(), size)

        # Bytes that are no UTF-8 come out as they came in, in a row that is no flow.
        log = io.TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape", newline="")
        try:
            counts = judge_log(program, log, out, report, advance)
        finally:
            log.detach()
    warn(str(counts))
    return 1 if counts.bad else 0


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(Path(path).open("rb"))
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from None
        yield raw
