"""`netpolc status`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click
import msgspec

from netpolc.agent.running import ENFORCES, Running, running, waiting
from netpolc.backends.nft import Options
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.runtime import kept, lock
from netpolc.backends.nft.rollout.state.drift import Drift
from netpolc.backends.nft.rollout.state.facts import Facts
from netpolc.backends.nft.rollout.state.loaded import Loaded, drifted
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.cli import options, table_options
from netpolc.cli.host import local_node, on_this_host
from netpolc.cli.inputs import Inputs
from netpolc.cli.observe.counting import FORMS, read_counters
from netpolc.cli.output import write
from netpolc.cli.parameters import output
from netpolc.core.errors import SystemRefusal
from netpolc.core.foreign import inert, to_json

if TYPE_CHECKING:
    from netpolc.backends.nft.rollout.state.made import Made
    from netpolc.core.cluster import Snapshot


@click.command()
@options.optional_paths
@options.node
@options.all_pods
@table_options.table
@output(
    lambda: FORMS,
    "text",
    "The form; prometheus is --counters for node_exporter's textfile collector.",
    "Write a file, whole [default: print].",
    once=("--format",),
)
@click.option(
    "--counters",
    is_flag=True,
    help="What was denied, by chain and by pod; PATHs name the pods.",
)
@table_options.via
@options.reading
@click.pass_context
def status(
    ctx: click.Context,
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    table: str,
    form: str,
    file: str | None,
    counters: bool,
    via: str,
    reading: options.Reading,
) -> None:
    """Tell what is loaded: digest, since when, drop counters, and whether it drifted.

    It is missing, modified (somebody changed it since `netpolc apply` loaded it) or, with PATHs,
    stale (loaded from another snapshot; the options hook, priority, deny and log are taken from the
    loaded table). Exit code 1 for each; with --counters only where the table is missing. Where
    `netpolc agent` runs here it says how that is, and how those are that wait: for the first
    sync, or until the other is gone.

    \b
    Examples:
      netpolc status
      netpolc status cluster/ --node node-a
      netpolc status cluster/ --counters
      netpolc status cluster/ -o prometheus --file /var/lib/node_exporter/netpolc.prom
    """
    reading = reading.around_odd()
    channel = Channel()
    if counters or form not in ("text", "json"):
        program = reading.program(paths) if paths else None
        counted = read_counters(channel, table, program)
        write(FORMS[form](table, counted), file)
        ctx.exit(1 if counted is None else 0)
    facts, tables = Facts(channel), TableReader(channel)
    asked = Inputs.of(paths, reading, node, all_pods) if paths and via != "nft" else None

    def now() -> tuple[Loaded | None, str | None, Made | None]:
        loaded, made = facts.loaded(table), tables.made(table) if asked is not None else None
        if made is not None:
            return loaded, made.content, made
        content = tables.content_by_nft(table) if via == "nft" else tables.content(table)
        return loaded, content, None

    loaded, content, made = channel.generation.consistent(now, table)
    if Drift.MODIFIED in drifted(loaded, content):
        # Perhaps between two transactions of a change, which has the lock; who may not lock the
        # table tells what is there.
        with suppress(SystemRefusal), lock(table):
            loaded, content, made = channel.generation.consistent(now, table)
    expected = None
    if paths:
        chosen = loaded.options if loaded is not None else Options(table)
        files = asked.files() if asked is not None and made is not None else None
        if files and asked and made and asked.nodes(files, made, chosen):
            expected = made.content
        else:
            expected = _compiled(reading.snapshot(paths), node, all_pods, chosen)
    drift = drifted(loaded, content, expected)
    enforcing, others = running(table), waiting(table)
    told = _of_agent("agent", enforcing) if enforcing is not None else []
    told += [line for own in others for line in _of_agent("waiting", own)]
    text = (
        _as_json(loaded, expected, drift, enforcing, others)
        if form == "json"
        else "\n".join(map(inert, (*told, *_as_text(table, loaded, expected, drift))))
    )
    write(f"{text}\n", file)
    ctx.exit(1 if drift else 0)


def _compiled(snapshot: Snapshot, node: str | None, all_pods: bool, chosen: Options) -> str:
    """The digest of what `netpolc apply` would load here."""
    from netpolc.compiler import compile  # a table that says what it was made of needs none

    local = local_node(snapshot, node, all_pods)
    program = compile(snapshot if local is None else on_this_host(snapshot, local))
    return program.ruleset(local, chosen).digest


def _as_json(
    loaded: Loaded | None,
    expected: str | None,
    drift: Sequence[Drift],
    enforcing: Running | None,
    others: Sequence[Running],
) -> str:
    found = None
    if loaded is not None:
        found = {**msgspec.to_builtins(loaded), "options": loaded.options.describe()}
    matches = None if expected is None else loaded is not None and loaded.digest == expected
    body: dict[str, object] = {"loaded": found, "expected": expected, "matches": matches}
    body["drift"] = drift
    if enforcing is not None:
        body["agent"] = msgspec.to_builtins(enforcing)
    if others:
        body["waiting"] = msgspec.to_builtins(others)
    return to_json(body, indent=2)


def _of_agent(title: str, agent: Running) -> list[str]:
    """What the agent that enforces the table, or one that waits, says of itself."""
    if agent.phase != ENFORCES:
        how = f"{agent.phase}: {agent.waits}" if agent.waits else agent.phase
    else:
        how = f"right since {agent.synced}" if agent.ready else f"not ready: {agent.waits}"
    lines = [f"{title:<9} process {agent.process} for node {agent.node}, {how}"]
    lines += [f"refused   {name}: {why}" for name, why in sorted(agent.refused.items())]
    return lines + [f"trouble   {kind}: {said}" for kind, said in sorted(agent.trouble.items())]


def _as_text(
    table: str, loaded: Loaded | None, expected: str | None, drift: Sequence[Drift]
) -> list[str]:
    if loaded is None:
        return [f"table inet {table} is not loaded"]
    lines = [
        f"table     inet {table}",
        f"digest    {loaded.digest}",
        f"loaded    {loaded.since or 'not by netpolc apply'}",
        f"options   {loaded.options.describe()}",
    ]
    if Drift.MODIFIED in drift:
        lines.append("content   modified: it is not what netpolc apply loaded")
    else:
        lines.append("content   as it was loaded")
    if loaded.unconfirmed is not None:
        waiting = loaded.unconfirmed
        lines.append(
            f"confirm   awaited until {waiting.until}; then {kept(waiting.token)} is loaded"
        )
    lines.extend(f"odd       {told}" for told in loaded.odd)
    if expected is not None:
        stale = f"differs: it would be {expected}"
        lines.append(f"snapshot  {stale if Drift.STALE in drift else 'matches'}")
    if loaded.invalid:
        lines.append(f"invalid   {loaded.invalid} packets of no connection dropped, no denials")
    lines.append("")
    if not loaded.drops:
        return [*lines, "no pod of this node is isolated"]
    width = max(len(entry.chain) for entry in loaded.drops)
    for audited, title in (False, "denied"), (True, "let pass"):
        drops = [entry for entry in loaded.drops if entry.audited is audited]
        if drops:
            lines.append(f"{'chain':<{width}}  direction  {title:>10}  {'bytes':>12}  isolated by")
        lines.extend(
            f"{entry.chain:<{width}}  {entry.direction:<9}  {entry.packets:>10}  "
            f"{entry.bytes:>12}  {entry.policies}"
            for entry in drops
        )
    return lines
