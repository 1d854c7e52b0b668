"""`netpolc audit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import click

from netpolc.analysis.explain import explain_all
from netpolc.analysis.explain.formats import brief
from netpolc.cli import options
from netpolc.cli.output import write, write_bytes
from netpolc.cli.parameters import FILE, output
from netpolc.cli.settings import path_below, repository_of
from netpolc.cli.terminal import is_terminal, plain_table, progress, say, table, warn
from netpolc.compiler import Program, compile
from netpolc.core.cluster import Snapshot, not_judged
from netpolc.core.errors import UsageError

if TYPE_CHECKING:
    from netpolc.flows.audit import Audit, FlowGroup
    from netpolc.flows.forms import Findings
    from netpolc.flows.forms.page import ListedParties
    from netpolc.flows.notes import LogNotes

_MOST_ROWS = 20


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked of the logs, and how they are read."""

    logs: tuple[str, ...]
    log_format: str | None
    denied: bool
    unused: bool
    since: str | None
    until: str | None
    keep_going: bool
    form: str


@click.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True, type=FILE)
@click.option(
    "--policies",
    "paths",
    metavar="PATH",
    multiple=True,
    required=True,
    type=FILE,
    help="Manifests to judge by: pods, namespaces and policies; again for more.",
)
@click.option(
    "--against",
    metavar="PATH",
    multiple=True,
    type=FILE,
    help="Manifests as they shall become: what they would cut or open of the observed flows.",
)
@click.option(
    "--with",
    "common",
    multiple=True,
    metavar="PATH",
    type=FILE,
    help="Manifests that are in both snapshots.",
)
@click.option("--denied", is_flag=True, help="Only what policies deny, and why.")
@click.option("--unused", is_flag=True, help="The rules that no observed flow needed.")
@options.log_records
@output(
    lambda: ("table", "json", "csv", "parquet", "sarif", "html"),
    "table",
    "The form; all but the table are whole. sarif has findings at lines of policies, html is a "
    "page of who can reach whom with the traffic over it.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=_MOST_ROWS,
    show_default=True,
    help="Rows of the table.",
)
@click.option("--keep-going", is_flag=True, help="Count what cannot be read, and go on.")
@options.configured_reading
@click.pass_context
def audit(
    ctx: click.Context,
    logs: tuple[str, ...],
    paths: tuple[str, ...],
    against: tuple[str, ...],
    common: tuple[str, ...],
    denied: bool,
    unused: bool,
    since: str | None,
    until: str | None,
    log_format: str | None,
    form: str,
    file: str | None,
    top: int,
    keep_going: bool,
    reading: options.Reading,
) -> None:
    """Tell what policies say of the traffic in flow logs.

    LOGs are files, folders, patterns or - for standard input, also packed with gzip or zstd:
    Hubble, AWS VPC, GKE policy_action, Calico, conntrack -E, ulogd2, the kernel's log of packets,
    and CSV, JSON lines, Parquet or Arrow with columns src, dst, protocol and port. What a log does
    not say is told on standard error. Needs pyarrow and NumPy (pip install netpolc[audit]).

    Exit code 1 when traffic was denied, yet forwarded; with --against when an observed flow is cut,
    with --denied and --unused when there is any; and when records were lost, cut or not judged.

    \b
    Examples:
      netpolc audit flows.json --policies cluster/
      hubble observe -o json | netpolc audit - --policies cluster/ --denied
      netpolc audit logs/ --policies policies/ --against proposed/ --with pods.json
      netpolc audit 'logs/*.gz' --policies cluster/ --unused --since 2026-11-01T00:00:00Z
    """
    if [bool(against), denied, unused].count(True) > 1:
        raise UsageError("--against, --denied and --unused exclude each other")
    if form == "parquet" and file in (None, "-") and is_terminal():
        raise UsageError("-o parquet is no text for a terminal: --file says where it goes")
    if form == "html" and unused:
        raise UsageError("-o html shows traffic, of which --unused has none")
    asked = _Question(logs, log_format, denied, unused, since, until, keep_going, form)
    reading = reading.configured((*paths, *common))
    snapshot = reading.snapshot((*paths, *common))
    changed = reading.snapshot((*against, *common)) if against else None
    found, answer, is_clean = _audited(asked, snapshot, changed)
    found.unread = sorted({*snapshot.unread, *(changed.unread if changed is not None else ())})
    if form == "table":
        _show(found, file, top)
    elif form == "parquet":
        from netpolc.flows.forms.parquet import as_parquet

        write_bytes(as_parquet(found), file)
    else:
        repository = repository_of((*paths, *against, *common))
        write(answer.in_form(found, form, partial(path_below, repository)), file)
    _tell(found)
    ctx.exit(0 if is_clean else 1)


class _Judges:
    """The program that decides, of a change the new one; for a page also who is listed on it."""

    def __init__(self, program: Program, changed: Program | None, asked: _Question) -> None:
        self._program = changed or program
        self._title = " ".join(asked.logs)
        self.parties: ListedParties | None = None
        if asked.form == "html":
            from netpolc.flows.forms.page import ListedParties

            self.parties = ListedParties(program, changed)

    def in_form(self, found: Findings, form: str, path_of: Callable[[str], str]) -> str:
        """What is printed, or written to a file."""
        from netpolc.flows.forms import FORMS
        from netpolc.flows.forms.sarif import as_sarif

        if self.parties is not None:
            return self.parties.page(found, self._title)
        if form == "sarif":
            return as_sarif(found, self._program, path_of)
        return FORMS[form](found)


def _audited(
    asked: _Question, snapshot: Snapshot, changed: Snapshot | None
) -> tuple[Findings, _Judges, bool]:
    """What is to be shown, who decides about it, and whether there is nothing to find."""
    try:
        from netpolc.flows.audit import Audit
        from netpolc.flows.notes import LogNotes
        from netpolc.flows.reading import take_in
        from netpolc.flows.usage import Usage
    except ImportError as error:
        raise UsageError(f"{error}: pip install netpolc[audit]") from None
    span = options.span_of(asked.since, asked.until)
    program = compile(snapshot)
    other = compile(changed) if changed is not None else None
    notes = LogNotes(keep_going=asked.keep_going)
    judges = _Judges(program, other, asked)
    audit = Audit(program, other, *span, judges.parties)
    usage = Usage(program, snapshot) if asked.unused else None
    with progress("judging", of_bytes=True) as report:
        take_in(asked.logs, audit, notes, asked.log_format, usage, report)
    judging = (program, snapshot) if changed is None or other is None else (other, changed)
    found = _findings(asked, audit, notes, judging, changed is not None)
    if usage is not None:
        found.groups, found.rules = (), list(usage.unused())
    return found, judges, _is_clean(found, notes, asked, changed is not None)


def _findings(
    asked: _Question,
    audit: Audit,
    notes: LogNotes,
    judging: tuple[Program, Snapshot],
    is_change: bool,
) -> Findings:
    from netpolc.flows.forms import Findings
    from netpolc.flows.judging import RecordOutcome

    groups = audit.groups()
    if is_change and asked.form != "html":  # where also stands what a change leaves as it is
        groups = [group for group in groups if group.shift is not None]
        groups.sort(key=lambda group: (group.shift or "", -group.records))
    elif asked.denied:
        denied = (RecordOutcome.DENY, RecordOutcome.FAR)
        groups = [group for group in groups if group.outcome in denied]
    because = _because(*judging) if is_change or asked.denied else None
    return Findings(audit.totals, list(notes), groups, because=because)


def _because(program: Program, snapshot: Snapshot) -> Callable[[FlowGroup], Sequence[str]]:
    """Why the sample of a group is denied, in explain's words."""

    def reasons(group: FlowGroup) -> Sequence[str]:
        flow = group.sample.flow(program)
        lines = (
            line.split()
            for found in explain_all(program, snapshot, [flow])
            for line in brief(found)
        )
        return [" ".join(words) for words in lines if words[1] == "denied"]

    return reasons


def _is_clean(found: Findings, notes: LogNotes, asked: _Question, is_change: bool) -> bool:
    from netpolc.flows.audit import Disagreement, Shift

    if not notes.is_whole or found.totals.problems:
        return False
    if is_change:
        return not any(group.shift is Shift.CUT for group in found.groups)
    if asked.unused:
        return not found.rules
    if asked.denied:
        return not found.groups
    return not any(group.disagreement is Disagreement.LEAK for group in found.groups)


def _show(found: Findings, file: str | None, top: int) -> None:
    from netpolc.flows.forms import NUMBERS, shown

    every = found.groups if found.rules is None else found.rules
    unread = not_judged(found.unread)
    if file is not None:
        write(plain_table(*shown(found), NUMBERS) + (f"{unread}\n" if unread else ""), file)
        return
    if every:
        table(*shown(found, top), NUMBERS)
    if len(every) > top:
        warn(f"{len(every) - top} more rows (--top, or -o json)")
    if unread:
        say(unread, "yellow")


def _tell(found: Findings) -> None:
    from netpolc.flows.forms import told

    for line in told(found):
        warn(line)
