"""`netpolc verify`."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from netpolc.backends.nft import Options
from netpolc.backends.nft.readback import parse_json, parse_text
from netpolc.backends.nft.readback.listing import Listing
from netpolc.backends.nft.readback.proof import SHOWN, Counterexample, Proof
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.rollout import Expected, Watch
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.cli import options, table_options
from netpolc.cli.host import local_node, on_this_host
from netpolc.cli.parameters import FILE
from netpolc.cli.terminal import progress, say, say_lines
from netpolc.compiler import compile
from netpolc.core.errors import RulesetError, UsageError


@click.command()
@options.paths
@options.node
@options.all_pods
@click.option(
    "--ruleset",
    "file",
    metavar="FILE",
    type=FILE,
    help="Verify a file that netpolc wrote (text or JSON) or a saved `nft -j list table`.",
)
@click.option(
    "--audit", is_flag=True, help="Of a table made with --audit: everything passes, denials count."
)
@click.option(
    "--watch",
    metavar="SECONDS",
    type=click.FloatRange(min=0.1),
    help="Look again at this interval, manifests too; end at the first drift, with exit code 1.",
)
@table_options.via
@table_options.pod_bridges
@table_options.pending
@table_options.table
@options.reading
@click.pass_context
def verify(
    ctx: click.Context,
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    file: str | None,
    audit: bool,
    watch: float | None,
    via: str,
    pod_bridges: tuple[str, ...],
    pending: str,
    pod_cidrs: tuple[str, ...],
    table: str,
    reading: options.Reading,
) -> None:
    """Prove that a ruleset does what the policies mean, or show where it does not.

    The ruleset is read back from the kernel, or with --ruleset from a file, which needs no root. No
    digest in it is believed: packets of every kind are walked through its rules. Exit code 1 when
    one is judged otherwise than by the policies, or when no table is loaded.

    \b
    Examples:
      netpolc verify cluster/ --node node-a
      netpolc verify cluster/ --node node-a --ruleset rulesets/node-a.nft
      netpolc verify cluster/ --node node-a --watch 30
    """
    expected = Expected(audit, pod_bridges, pending, pod_cidrs)
    chosen = Options(table, audit=audit, pending=pending, pod_cidrs=pod_cidrs)
    by_nft = via == "nft"
    if watch is not None:
        if file is not None or "-" in paths:
            raise UsageError("--watch looks again and again: neither a --ruleset nor - can change")
        own = Watch(Channel(), table, by_nft=by_nft)
        _watch(paths, node, all_pods, reading, watch, expected, own)
    if file is None:
        listing = TableReader(Channel()).walked(table, by_nft=by_nft)
    else:
        text = _read(file)
        is_json = text.lstrip().startswith("{")
        listing = parse_json.parse(text) if is_json else parse_text.parse(text)
    if listing is None:
        say(f"table inet {table} is not loaded")
        ctx.exit(1)
    snapshot = reading.snapshot(paths)
    local = local_node(snapshot, node, all_pods)
    here = file is None and local is not None
    program = compile(on_this_host(snapshot, local) if here else snapshot)
    blocks = chosen.pending_blocks(program.cluster, local)
    proof = Proof(program, listing, local, audit=audit, pod_bridges=pod_bridges, pending=blocks)
    with progress("proving") as report:
        shown = proof.first(report)
    ctx.exit(_report(proof, shown, listing, local, audit))


def _watch(
    paths: tuple[str, ...],
    node: str | None,
    all_pods: bool,
    reading: options.Reading,
    seconds: float,
    expected: Expected,
    watch: Watch,
) -> NoReturn:
    """Say nothing for as long as all is well."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    gc.enable()  # a long life, other than that of the commands that end at once
    first = True
    while True:
        snapshot = reading.snapshot(paths) if first else reading.again(paths)
        local = local_node(snapshot, node, all_pods)
        program = compile(snapshot if local is None else on_this_host(snapshot, local))
        watch.check(program, partial(program.ruleset, local), expected)
        first = False
        time.sleep(seconds)


def _report(
    proof: Proof, shown: Sequence[Counterexample], listing: Listing, node: str | None, audit: bool
) -> int:
    for difference in shown:
        say_lines(str(difference).split("\n"))
    if proof.by_pairs:
        say(f"every pair of addresses was walked for itself: {proof.by_pairs}")
    what = f"table inet {listing.table} for {f'node {node}' if node is not None else 'every pod'}"
    if not shown:
        does = "counts and lets pass what" if audit else "does what"
        does += " the policies deny" if audit else " the policies mean"
        say(f"{what} {does}: {proof.cases} packets judged alike")
        return 0
    many = "differences, and perhaps more" if len(shown) == SHOWN else "differences"
    say(f"{what} differs from the policies: {len(shown)} {many}")
    return 1


def _read(file: str) -> str:
    try:
        return Path(file).read_text()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RulesetError(f"{file} is not text: {error}") from error
