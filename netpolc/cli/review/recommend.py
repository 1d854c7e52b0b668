"""`netpolc recommend`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from netpolc.cli import options
from netpolc.cli.output import write
from netpolc.cli.parameters import FILE, output
from netpolc.cli.terminal import progress, warn
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import UsageError
from netpolc.core.ir import Direction

if TYPE_CHECKING:
    from netpolc.flows.audit import Audit
    from netpolc.flows.notes import LogNotes
    from netpolc.flows.recommendation import FlowProof, Recommendation

_MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class _Question:
    """How logs are read, and what policies are wished for."""

    logs: tuple[str, ...]
    log_format: str | None
    since: str | None
    until: str | None
    keep_going: bool
    denied: bool
    directions: tuple[Direction, ...]
    max_cidrs: int
    icmp: bool


@click.command("recommend")
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=FILE)
@click.option(
    "--policies",
    "paths",
    metavar="PATH",
    multiple=True,
    required=True,
    type=FILE,
    help="Manifests of the cluster: pods, namespaces and what policies there are; again for more.",
)
@click.option("--merge", is_flag=True, help="A patch of the policies that there are.")
@click.option("--denied", is_flag=True, help="Admit also forwarded flows that policies deny today.")
@click.option(
    "--direction",
    type=click.Choice(["ingress", "egress", "both"]),
    default="both",
    show_default=True,
    help="The traffic that the policies isolate.",
)
@click.option(
    "--max-cidrs",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Blocks of strangers in a rule, of each family; more are joined.",
)
@click.option(
    "--icmp",
    is_flag=True,
    help="Admit also ICMP and the like, which takes rules that open every port.",
)
@options.log_records
@output(lambda: ("yaml", "json"), "yaml", "The form of the policies.")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=_MOST_LINES,
    show_default=True,
    help="Lines of what is admitted besides; -o json has all.",
)
@click.option("--keep-going", is_flag=True, help="Count what cannot be read, and go on.")
@options.configured_reading
@click.pass_context
def recommend_(
    ctx: click.Context,
    logs: tuple[str, ...],
    paths: tuple[str, ...],
    merge: bool,
    denied: bool,
    direction: str,
    max_cidrs: int,
    icmp: bool,
    since: str | None,
    until: str | None,
    log_format: str | None,
    form: str,
    file: str | None,
    top: int,
    keep_going: bool,
    reading: options.Reading,
) -> None:
    """Write NetworkPolicies that admit what flow logs show, and little else.

    A policy for all pods of a namespace with the same labels, which admits the traffic that was
    seen and was not dropped. Comments say which flows each rule is for. What was written is read
    again and proven: every flow is admitted; what is admitted besides is told on standard error.
    LOGs are what netpolc audit reads. Needs pyarrow and NumPy (pip install netpolc[audit]).

    Exit code 1 when a flow is not admitted or could not be judged, and when records were lost.

    \b
    Examples:
      netpolc recommend flows.json --policies cluster/ --file recommended.yaml
      netpolc recommend logs/ --policies cluster/ --merge | patch -p0
      netpolc recommend 'logs/*.gz' --policies cluster/ --direction ingress --max-cidrs 4
    """
    if merge and form != "yaml":
        raise UsageError("--merge writes a patch: leave -o out")
    ways = tuple(own for own in Direction if direction in ("both", str(own)))
    asked = _Question(
        logs, log_format, since, until, keep_going, denied, ways, max_cidrs, icmp
    )  # fmt: skip
    reading = reading.configured(paths)
    snapshot = reading.snapshot(paths)
    audit, notes, found = _recommended(asked, snapshot)
    proof = found.proof
    left: tuple[str, ...] = ()
    if merge:
        from netpolc.flows.recommendation import merged_policies

        merge_ = merged_policies(snapshot, found)
        proof, left = merge_.proof, merge_.left
        write("".join(f"{line}\n" for line in merge_.patch), file)
    else:
        write(_in_form(form, found), file)
    for line in (*_told(audit, notes), *left, *_proven(found, proof, top)):
        warn(line)
    ctx.exit(0 if _is_whole(audit, notes, found, proof) and not left else 1)


def _recommended(asked: _Question, snapshot: Snapshot) -> tuple[Audit, LogNotes, Recommendation]:
    try:
        from netpolc.flows.audit import Audit
        from netpolc.flows.notes import LogNotes
        from netpolc.flows.reading import take_in
        from netpolc.flows.recommendation import Observation, Wishes, recommend
    except ImportError as error:
        raise UsageError(f"{error}: pip install netpolc[audit]") from None
    span = options.span_of(asked.since, asked.until)
    program = compile(snapshot)
    notes = LogNotes(keep_going=asked.keep_going)
    audit = Audit(program, None, *span)
    seen = Observation(program, with_denied=asked.denied)
    with progress("reading", of_bytes=True) as report:
        take_in(asked.logs, audit, notes, asked.log_format, seen, report)
    wishes = Wishes(asked.directions, asked.max_cidrs, asked.icmp)
    return audit, notes, recommend(snapshot, seen, wishes)


def _in_form(form: str, found: Recommendation) -> str:
    from netpolc.flows.recommendation.forms import as_json

    return found.text if form == "yaml" else as_json(found)


def _told(audit: Audit, notes: LogNotes) -> Iterator[str]:
    from netpolc.flows.forms import Findings, told

    yield from told(Findings(audit.totals, list(notes)))


def _proven(found: Recommendation, proof: FlowProof, top: int) -> Iterator[str]:
    from netpolc.flows.recommendation.forms import proven

    yield from proven(found, proof, top)


def _is_whole(audit: Audit, notes: LogNotes, found: Recommendation, proof: FlowProof) -> bool:
    """Whether every flow of the log is admitted, and every record was understood."""
    from netpolc.flows.recommendation.recommended import PORTLESS

    is_read = notes.is_whole and not audit.totals.problems
    return is_read and not (proof.denied or PORTLESS in found.left_out)
