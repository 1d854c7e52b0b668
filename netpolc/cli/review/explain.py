"""`netpolc explain`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import click

from netpolc.analysis.explain import Explanation, explain_all, formats, policy
from netpolc.analysis.explain.forms import FLOWS, POLICIES
from netpolc.backends.nft.signals.logs import LoggedFlow, flows_from_log
from netpolc.cli import completion, options
from netpolc.cli.host import on_this_host, say_remarks
from netpolc.cli.output import write
from netpolc.cli.parameters import FILE, output
from netpolc.cli.terminal import say, show, warn
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot, Unread, not_judged
from netpolc.core.errors import UsageError
from netpolc.core.semantics import Flow

_USAGE = "give --src and --dst, --log-line, or name a policy: PATH#NAMESPACE/NAME"
_EMPTY = "NP004"
"""What a snapshot of policies alone is warned of; it is all that a policy's own text needs."""


@click.command("explain")
@click.argument(
    "paths",
    metavar="[PATH]...",
    nargs=-1,
    type=FILE,
    shell_complete=completion.complete_policies,
)
@options.between(_USAGE)
@click.option(
    "--log-line",
    "log_line",
    metavar="LINE",
    help="Explain the flow of a kernel log line (see --log), or - for lines on standard input.",
)
@output(lambda: ("text", *FLOWS), "text", "The form of the explanation.")
@click.option("--all", "every", is_flag=True, help="Show every near miss, not the closest three.")
@options.configured_reading
@options.cluster(narrows=False)
@click.pass_context
def explain_(
    ctx: click.Context,
    paths: tuple[str, ...],
    asked: options.Between | None,
    log_line: str | None,
    form: str,
    file: str | None,
    every: bool,
    reading: options.Reading,
) -> None:
    """Say why a flow is allowed or denied, or what a policy means.

    With --src and --dst: in both directions every policy that was consulted, the rule that decides
    with its source lines, and for a denial what came close. Exit code 0 when the flow is allowed
    (in every address family the ends share), 1 when not.

    With --log-line: the same for what a ruleset logged, by the policies as they are in PATHs; what
    was logged many times is explained once.

    With PATH#NAMESPACE/NAME: that policy in plain sentences; other PATHs are context, such as the
    pods it selects. PATH#KIND/NAME is a cluster-scoped policy, PATH#NAMESPACE the namespace's
    annotation (--semantics v1.6).

    \b
    Examples:
      netpolc explain cluster/ --src shop/web-1 --dst shop/db-0 --port 5432
      netpolc explain k8s/ -n shop --src deploy/web --dst svc/api --port http
      netpolc explain cluster/ --src 192.0.2.7 --dst shop/web-1 --port 80 -o json
      journalctl -k | netpolc explain cluster/ --log-line -
      netpolc explain policies/web.yaml#shop/web
      netpolc explain policies/web.yaml#shop/web pods.json
      netpolc explain cluster/#ClusterNetworkPolicy/guard
      kubectl netpolc explain --context prod --src shop/web --dst shop/db --port 5432
    """
    files, names = _split(paths)
    if [asked is not None, log_line is not None, bool(names)].count(True) != 1:
        raise UsageError(_USAGE)
    if log_line == "-" and "-" in paths:
        raise UsageError("standard input is the log or the manifests, not both")
    snapshot = reading.snapshot(files, quiet=(_EMPTY,) if names else ())
    if names:
        found = [policy.describe(snapshot, policy.find_policy(snapshot, name)) for name in names]
        _show_policies(found, form, snapshot, file)
        return
    here = on_this_host(snapshot)
    program = compile(here)
    flows = asked.flows(program) if asked is not None else _logged(log_line or "")
    explanations = explain_all(program, here, flows)
    remarks = partial(say_remarks, listed=snapshot.cluster, program=program)
    most = None if every else formats.CLOSEST
    live = log_line == "-" and form == "text" and file is None
    if live:
        verdicts = [show_explanations([own], form, most, remarks) for own in explanations]
        allowed = all(verdicts)
        if snapshot.unread:
            say(not_judged(snapshot.unread), "yellow")
    else:
        allowed = show_explanations(explanations, form, most, remarks, file, snapshot.unread)
    ctx.exit(0 if allowed else 1)


def _logged(line: str) -> Iterator[Flow]:
    """The flows of a line, or of standard input as it comes, each once."""
    seen: set[Flow] = set()
    for found in flows_from_log(sys.stdin if line == "-" else [line]):
        if isinstance(found, LoggedFlow):
            if found.flow not in seen:
                seen.add(found.flow)
                yield found.flow
        elif line == "-":
            warn(f"<stdin>:{found.line}: {found.problem}")
        else:
            raise UsageError(f"--log-line: {found.problem}")
    if not seen and line != "-":
        raise UsageError("--log-line: not a line that netpolc's ruleset logged")


def _split(paths: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Paths, and the names of policies behind their `#`; a file may have that in its own name."""
    files, names = [], []
    for path in paths:
        file, mark, name = path.rpartition("#")
        if mark and file and name and not os.path.exists(path):
            path = file
            names.append(name)
        files.append(path)
    return tuple(files), tuple(names)


def show_explanations(
    explanations: Iterable[Explanation],
    form: str,
    most: int | None,
    remarks: Callable[[list[Explanation]], None] | None = None,
    file: str | None = None,
    unread: Sequence[Unread] = (),
) -> bool:
    """Print explanations of flows, or write them to a file; whether all of them are allowed.

    `remarks` says what manifests may not tell of them.
    """
    found = list(explanations)
    if form in FLOWS:
        write(FLOWS[form](found, most, unread), file)
    else:
        told = [(not_judged(unread), "yellow")] if unread else []
        show([*((line.text, line.style) for line in formats.text(found, most)), *told], file)
    if remarks is not None:
        remarks(found)
    return all(explanation.verdict.allowed for explanation in found)


def _show_policies(
    descriptions: list[policy.Description], form: str, snapshot: Snapshot, file: str | None = None
) -> None:
    if form in POLICIES:
        write(POLICIES[form](descriptions, snapshot.unread), file)
        return
    if form != "text":
        raise UsageError(f"a policy is described as text, {', '.join(POLICIES)}; not as {form}")
    lines = [
        line
        for number, description in enumerate(descriptions)
        for line in ([""] if number else []) + list(policy.text(description))
    ]
    if snapshot.unread:
        lines.append(not_judged(snapshot.unread))
    show(((line, "") for line in lines), file)
