"""`netpolc eval`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from netpolc.cli import options
from netpolc.cli.output import writing
from netpolc.cli.terminal import progress
from netpolc.compiler import Program
from netpolc.errors import UsageError
from netpolc.nets import Family, family, format_address
from netpolc.semantics import Decision, Flow, Reason, Verdict, evaluate, flows_between


@click.command("eval")
@options.paths
@click.option("--src", metavar="END", help="namespace/pod, node:NAME or an address.")
@click.option("--dst", metavar="END", help="The same.")
@click.option("--port", type=int, help="Destination port, for TCP, UDP and SCTP.")
@click.option(
    "--protocol",
    default="TCP",
    show_default=True,
    help="TCP, UDP, SCTP, ICMP or the number of an IP protocol.",
)
@click.option(
    "--flows",
    metavar="FILE",
    help="Judge every row of a CSV (with a header) or JSON-lines file, or - for standard input.",
)
@click.option("-o", "--output", metavar="FILE", help="Where --flows writes [default: print].")
@options.reading
@click.pass_context
def eval_(
    ctx: click.Context,
    paths: tuple[str, ...],
    src: str | None,
    dst: str | None,
    port: int | None,
    protocol: str,
    flows: str | None,
    output: str | None,
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
      netpolc eval cluster/ --src 192.0.2.7 --dst shop/web-1 --protocol ICMP
      netpolc eval cluster/ --flows flows.csv -o judged.csv
    """
    single = src is not None and dst is not None and output is None
    if (flows is None) != single or (flows and (src or dst or port is not None)):
        raise UsageError("give --src and --dst, or --flows")
    program = reading.program(paths)
    if src is not None and dst is not None:
        verdicts = [evaluate(program, flow) for flow in _flows(program, src, dst, protocol, port)]
        click.echo("\n".join(line for verdict in verdicts for line in _lines(program, verdict)))
        ctx.exit(0 if all(verdict.allowed for verdict in verdicts) else 1)
    ctx.exit(_judge_log(program, flows or "-", output))


def _flows(program: Program, src: str, dst: str, protocol: str, port: int | None) -> Iterator[Flow]:
    """The flows between two ends; ICMP has another number in each family."""
    try:
        if protocol.upper() == "ICMP":
            for flow in flows_between(program, src, dst, 1, port):
                ends = format_address(flow.source), format_address(flow.destination)
                number = 1 if family(flow.source) is Family.IPV4 else 58
                yield Flow(*ends, number, port)
        else:
            number_or_name = int(protocol) if protocol.isdigit() else protocol
            yield from flows_between(program, src, dst, number_or_name, port)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _lines(program: Program, verdict: Verdict) -> Iterator[str]:
    flow = verdict.flow
    yield f"{'ALLOW' if verdict.allowed else 'DENY'} {flow}"
    for decision, end in ((verdict.egress, flow.source), (verdict.ingress, flow.destination)):
        pod = program.pods_by_address.get(end)
        name = pod.key if pod is not None else format_address(end)
        state = "allowed" if decision.allowed else "denied"
        yield f"  {decision.direction!s:<8}{state:<8}{name}: {_reason(decision)}"
        if decision.would_deny and decision.tried is not None:
            why = _reason(decision.tried)
            yield f"  {decision.direction!s:<8}audit   {name}: would be denied: {why}"


def _reason(decision: Decision) -> str:
    if decision.rule is not None:
        origin = decision.rule.origin
        return f"{origin} at {origin.place()}"
    if decision.reason is Reason.NO_RULE and decision.tier is not None:
        origins = decision.tier.policies
        places = ", ".join(f"{origin} at {origin.place()}" for origin in origins)
        return f"{decision.reason} ({places})"
    return str(decision.reason)


def _judge_log(program: Program, path: str, output: str | None) -> int:
    """Stream a log through the matcher; the exit code."""
    try:
        from netpolc.flows import judge_log  # needs NumPy, which the rest of the command does not
    except ImportError as error:
        raise UsageError(f"--flows: {error}") from None

    def report(line: int, problem: str) -> None:
        click.echo(f"{'standard input' if path == '-' else path}:{line}: {problem}", err=True)

    with _opened(path) as raw, writing(output) as out, progress("judging") as report_bytes:
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
    click.echo(str(counts), err=True)
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
