"""Options that commands share, as values."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from netpolc.backends.nft import KEEP, LOG_RATE, MARK_MASK, RECHECK, TABLE, Options
from netpolc.cluster import Snapshot
from netpolc.compiler import Program, compile, load
from netpolc.errors import UsageError
from netpolc.frontends import Semantics
from netpolc.manifests import Given
from netpolc.nets import Family, family, format_address
from netpolc.semantics import Flow, flows_between

Command = Callable[..., None]


def _stack(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(function: Command) -> Command:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


class Number(click.ParamType[int]):
    """A number, also in hexadecimal."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number, or a usage error."""
        try:
            return int(str(value), 0)
        except ValueError:
            self.fail(f"{value!r} is not a number such as 0xfff00000", param, ctx)


paths = click.argument("paths", metavar="PATH...", nargs=-1, required=True)
optional_paths = click.argument("paths", metavar="[PATH]...", nargs=-1)
table = click.option(
    "--table", default=TABLE, show_default=True, help="The table: netpolc or netpolc_NAME."
)
node = click.option("--node", metavar="NAME", help="The node whose pods are local.")
all_pods = click.option("--all-pods", is_flag=True, help="Take every pod of the snapshot as local.")


_flow_options = _stack(
    click.option("--src", metavar="END", help="namespace/pod, node:NAME or an address."),
    click.option("--dst", metavar="END", help="The same."),
    click.option("--port", type=int, help="Destination port, for TCP, UDP and SCTP."),
    click.option(
        "--protocol",
        default="TCP",
        show_default=True,
        help="TCP, UDP, SCTP, ICMP or the number of an IP protocol.",
    ),
)


@dataclass(frozen=True, slots=True)
class Between:
    """A flow between two ends, as it is asked for."""

    src: str
    dst: str
    port: int | None
    protocol: str

    def flows(self, program: Program) -> tuple[Flow, ...]:
        """One for each address family the ends share; `UsageError` for what no packet could be."""
        try:
            return tuple(self._flows(program))
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _flows(self, program: Program) -> Iterator[Flow]:
        ends = program, self.src, self.dst
        if self.protocol.upper() != "ICMP":
            named = int(self.protocol) if self.protocol.isdigit() else self.protocol
            yield from flows_between(*ends, named, self.port)
            return
        for flow in flows_between(*ends, 1, self.port):  # which has another number in IPv6
            number = 1 if family(flow.source) is Family.IPV4 else 58
            source, destination = format_address(flow.source), format_address(flow.destination)
            yield Flow(source, destination, number, self.port)


def between(usage: str) -> Callable[[Command], Command]:
    """Options that become the parameter `asked: Between | None`, None without any of them.

    `usage` is what half a flow is refused with.
    """

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(
            *args: Any,
            src: str | None,
            dst: str | None,
            port: int | None,
            protocol: str,
            **rest: Any,
        ) -> None:
            asked = None
            if src is not None and dst is not None:
                asked = Between(src, dst, port, protocol)
            elif (src, dst, port) != (None, None, None):
                raise UsageError(usage)
            function(*args, asked=asked, **rest)

        return _flow_options(command)

    return decorate


@dataclass(frozen=True, slots=True)
class Reading:
    """How manifests are read."""

    semantics: str
    strict: bool
    verbose: bool

    def program(self, paths: Sequence[Given]) -> Program:
        """Load and compile; warnings and what was ignored go to standard error."""
        return compile(self.snapshot(paths))

    def again(self, paths: Sequence[Given]) -> Program:
        """The same, saying nothing: what was said the first time."""
        return compile(load(paths, semantics=self.semantics, strict=self.strict))

    def snapshot(self, paths: Sequence[Given], quiet: Container[str] = ()) -> Snapshot:
        """Load, with the same on standard error except for warnings of the `quiet` codes."""
        snapshot = load(paths, semantics=self.semantics, strict=self.strict)
        for warning in snapshot.warnings:
            if warning.code not in quiet:
                click.echo(str(warning), err=True)
        self.say_ignored(snapshot)
        return snapshot

    def say_ignored(self, snapshot: Snapshot) -> None:
        """What was not read at all, on standard error."""
        if self.verbose:
            for kind, count in snapshot.ignored.items():
                click.echo(f"ignored: {count} {kind}", err=True)
        elif snapshot.ignored:
            count = sum(snapshot.ignored.values())
            objects = "object" if count == 1 else "objects"
            click.echo(f"ignored {count} {objects} of other kinds (-v names them)", err=True)


def reading(function: Command) -> Command:
    """Options that become the parameter `reading: Reading`."""

    @wraps(function)
    def command(*args: Any, semantics: str, no_strict: bool, verbose: bool, **rest: Any) -> None:
        function(*args, reading=Reading(semantics, not no_strict, verbose), **rest)

    return _stack(
        click.option(
            "--semantics",
            type=click.Choice([s.value for s in Semantics]),
            default=Semantics.CURRENT.value,
            show_default=True,
            help="What policies mean: today's API, or that of Kubernetes 1.3-1.6.",
        ),
        click.option(
            "--no-strict",
            is_flag=True,
            help="Unknown and duplicate fields are warnings, not errors.",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Name the kinds that were ignored."),
    )(command)


def ruleset(function: Command) -> Command:
    """Options that become the parameter `chosen: Options`, checked before anything is read."""

    @wraps(function)
    def command(
        *args: Any,
        table: str,
        hook: str,
        priority: int | None,
        deny: str,
        log: str | None,
        audit: bool,
        established: str,
        ct_mark_mask: int,
        **rest: Any,
    ) -> None:
        chosen = Options(table, hook, priority, deny, log, audit, established, ct_mark_mask)
        function(*args, chosen=chosen, **rest)

    return _stack(
        table,
        click.option(
            "--hook",
            type=click.Choice(["forward", "postrouting"]),
            default="forward",
            show_default=True,
            help="Where packets are judged; postrouting also sees what IPVS forwards.",
        ),
        click.option(
            "--priority",
            type=int,
            help="Priority of the base chain [default: -5 in forward, 95 in postrouting].",
        ),
        click.option(
            "--deny",
            type=click.Choice(["drop", "reject"]),
            default="drop",
            show_default=True,
            help="What becomes of denied packets; reject answers with a TCP reset or ICMP.",
        ),
        click.option(
            "--log",
            is_flag=False,
            flag_value=LOG_RATE,
            metavar="RATE",
            help=f"Log denied packets, at most RATE a chain (--log alone: {LOG_RATE}).",
        ),
        click.option(
            "--audit",
            is_flag=True,
            help="Count and log what would be denied, and let it through.",
        ),
        click.option(
            "--established",
            type=click.Choice([KEEP, RECHECK]),
            default=KEEP,
            show_default=True,
            help="Open connections: keep them, or judge them again after every change.",
        ),
        click.option(
            "--ct-mark-mask",
            type=Number(),
            default=hex(MARK_MASK),
            show_default=True,
            metavar="MASK",
            help="Bits of the conntrack mark that recheck takes for itself.",
        ),
    )(command)
