"""Options of the commands that make or read a table, as values."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netpolc.backends.nft import (
    ALLOW,
    DENY,
    KEEP,
    LOG_RATE,
    MARK_MASK,
    POD_BRIDGES,
    RECHECK,
    TABLE,
    Options,
)
from netpolc.cli.parameters import Command, stack

if TYPE_CHECKING:
    _OfNumber = click.ParamType[int]
    _OfNames = click.ParamType[tuple[str, ...]]
else:  # types with arguments are newer than the oldest click that is taken
    _OfNumber = _OfNames = click.ParamType


class Number(_OfNumber):
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


class NamesType(_OfNames):
    """Names between commas."""

    name = "names"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names; none of an empty text."""
        return tuple(name.strip() for name in str(value).split(",")) if value else ()


table = click.option(
    "--table", default=TABLE, show_default=True, help="The table: netpolc or netpolc_NAME."
)
via = click.option(
    "--via",
    type=click.Choice(["netlink", "nft"]),
    default="netlink",
    show_default=True,
    help="Who asks the kernel: netpolc itself, or libnftables, as a second opinion.",
)
pod_bridges = click.option(
    "--pod-bridges",
    type=NamesType(),
    default=",".join(POD_BRIDGES),
    show_default=True,
    metavar="NAMES",
    help="Bridges with nobody but pods of this node; an empty text for none.",
)


pending = stack(
    click.option(
        "--pending",
        type=click.Choice([ALLOW, DENY]),
        default=ALLOW,
        show_default=True,
        help="Addresses of the node's blocks that no pod is known to have yet: let pass, or drop.",
    ),
    click.option(
        "--pod-cidr",
        "pod_cidrs",
        multiple=True,
        metavar="CIDR",
        help="Of --pending deny: a block of this node's pods; again for more [default: those that "
        "the Node object lists].",
    ),
)
"""Options that become the parameters `pending` and `pod_cidrs`."""


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
        pod_bridges: tuple[str, ...],
        pending: str,
        pod_cidrs: tuple[str, ...],
        **rest: Any,
    ) -> None:
        chosen = Options(
            table,
            hook,
            priority,
            deny,
            log,
            audit,
            established,
            ct_mark_mask,
            pod_bridges,
            pending,
            pod_cidrs,
        )
        function(*args, chosen=chosen, **rest)

    return stack(
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
        pod_bridges,
        pending,
    )(command)
