"""`netpolc agent`."""

from __future__ import annotations

import os
import socket
import sys
import time
from contextlib import ExitStack, closing
from functools import partial
from math import inf
from pathlib import Path

import click

from netpolc.agent.enforcer import Enforcer, cleaned_up
from netpolc.agent.inbox import Inbox
from netpolc.agent.loop import Agent
from netpolc.agent.running import Duty
from netpolc.agent.signals import CHECKING, ENDING, Signals, heard
from netpolc.agent.telling.health import Health, listening
from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.objects import ObjectEvents
from netpolc.agent.telling.report import Report
from netpolc.agent.telling.scrape import table_counters
from netpolc.apiserver import Access, Followed, in_cluster
from netpolc.apiserver.access.kubeconfig import from_kubeconfig
from netpolc.apiserver.resources import RESOURCES
from netpolc.backends.nft import Options
from netpolc.cli import table_options
from netpolc.cli.enforce.service import tell_systemd
from netpolc.cli.host import read_addresses
from netpolc.cli.terminal import say, say_lines
from netpolc.core.errors import NetpolcError, SystemRefusal, UsageError
from netpolc.live import Live

LISTEN = "127.0.0.1:9841"
FOLDER = "/var/lib/netpolc"


@click.command()
@click.option(
    "--node",
    envvar="NODE_NAME",
    metavar="NAME",
    help="The node that this is [default: $NODE_NAME, else the name of this host].",
)
@click.option(
    "--kubeconfig",
    metavar="FILE",
    help="How to reach the API server [default: as kubectl, or a pod's own].",
)
@click.option("--context", metavar="NAME", help="The context of the kubeconfig.")
@click.option(
    "--once",
    is_flag=True,
    help="Load what the API server says now, and end; with exit code 3 if that fails.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Of --once: how long to wait for the API server.",
)
@click.option(
    "--cleanup", is_flag=True, help="Delete the table and what is kept for the next boot, and end."
)
@click.option(
    "--listen",
    default=LISTEN,
    show_default=True,
    metavar="ADDRESS:PORT",
    help="Where /livez, /readyz and /metrics are answered; an empty text for nowhere.",
)
@click.option(
    "--boot-folder",
    default=FOLDER,
    show_default=True,
    metavar="FOLDER",
    help="Where the ruleset for the next boot is kept; an empty text for none.",
)
@click.option(
    "--self-check",
    "check",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="MINUTES",
    help="Time between two comparisons with what is made from scratch; 0 for none.",
)
@click.option(
    "--events",
    is_flag=True,
    help="Write an Event on each object that is not enforced as written: needs the right to.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Lines for people, or a JSON object a line.",
)
@table_options.ruleset
def agent(
    node: str | None,
    kubeconfig: str | None,
    context: str | None,
    once: bool,
    timeout: float,
    cleanup: bool,
    listen: str,
    boot_folder: str,
    check: float,
    events: bool,
    log_format: str,
    chosen: Options,
) -> None:
    """Enforce what the API server says on this node, for as long as it runs.

    Nothing is loaded before every kind of object was listed. When the agent, the API server or the
    network goes, the table stays in force; whoever changes it is undone at once. SIGUSR1 compares
    what is enforced with what is made from scratch.

    \b
    Examples:
      netpolc agent --node node-a
      netpolc agent --node node-a --kubeconfig admin.conf --pending deny
      netpolc agent --once --node node-a --kubeconfig admin.conf
      netpolc agent --cleanup
    """
    folder = Path(boot_folder) if boot_folder else None
    if cleanup and once:
        raise UsageError("--cleanup and --once exclude each other")
    if cleanup:
        _clean(chosen.table, folder)
        return
    name = node or socket.gethostname().lower()
    where = listening(listen) if listen else None
    log = LogLines(_print_line, as_json=log_format == "json")
    report = Report(name, log, notify=tell_systemd)
    live = Live(name, chosen)
    with ExitStack() as stack:
        inbox = stack.enter_context(closing(Inbox()))
        enforcer = stack.enter_context(closing(Enforcer(chosen.table, None if once else folder)))
        duty = None if once else Duty(chosen.table)
        seconds = check * 60 if check and not once else inf
        kinds = {own.kind for own in RESOURCES}
        made = Agent(
            live,
            enforcer,
            inbox,
            report,
            duty,
            kinds=kinds,
            check_seconds=seconds,
            addresses=read_addresses,
        )
        access = _access(kubeconfig, context)
        if events:
            writer = ObjectEvents(access, report)
            report.on_refused = writer.tell
            stack.callback(writer.stop)
            writer.start()
        followed = Followed(access, tell=inbox.put)
        stack.callback(followed.stop, 1.0)
        followed.start()
        if once:
            _once(made, report, timeout)
            return
        if where is not None:
            text = partial(_metrics, report, chosen.table)
            stack.enter_context(closing(Health(where, report, text)))
        if duty is not None:
            stack.callback(duty.leave)
        signals = stack.enter_context(heard())
        made.run(partial(_goes_on, signals, made, report), signals.fileno())


def _access(kubeconfig: str | None, context: str | None) -> Access:
    """As told, else as a pod has it, else as kubectl has it."""
    if kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        return in_cluster()
    return from_kubeconfig(kubeconfig, context)


def _goes_on(signals: Signals, made: Agent, report: Report) -> bool:
    """Whether what came is no reason to end."""
    came = signals.came()
    if CHECKING in came:
        made.check_soon()
    if came.isdisjoint(ENDING):
        return True
    report.log.info("ends; the table stays in force")
    tell_systemd("STOPPING=1")
    return False


def _once(made: Agent, report: Report, timeout: float) -> None:
    """Load once; `SystemRefusal` if that cannot be done in time."""
    until = time.monotonic() + timeout
    while report.waiting():
        made.step()
        if not report.waiting():
            break
        if time.monotonic() >= until:
            raise SystemRefusal(f"not loaded within {timeout:g} s: {report.waiting()}")
        made.wait(until)
    ruleset = made.enforced
    assert ruleset is not None
    say(f"table inet {ruleset.options.table} for node {ruleset.node}: {ruleset.digest}")


def _metrics(report: Report, table: str) -> str:
    """The agent's numbers, then those of the table, if the kernel says them."""
    try:
        return report.metrics.text() + table_counters(table)
    except NetpolcError as error:
        report.log.warning(f"the table's counters cannot be read: {error}")
        return report.metrics.text()


def _clean(table: str, folder: Path | None) -> None:
    say_lines(cleaned_up(table, folder) or [f"table inet {table} is not loaded"])


def _print_line(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
