"""Options that name a flow by its two ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netpolc.cli import completion
from netpolc.cli.parameters import Command, FlowPort, NamespaceName, stack
from netpolc.core.errors import UsageError
from netpolc.core.nets import Protocol

if TYPE_CHECKING:
    from netpolc.compiler import Program
    from netpolc.core.semantics import Flow

_flow_options = stack(
    click.option(
        "--src",
        metavar="END",
        shell_complete=completion.complete_ends,
        help="namespace/name of a pod or workload, node:NAME, an address.",
    ),
    click.option(
        "--dst",
        metavar="END",
        shell_complete=completion.complete_ends,
        help="The same, or a Service: svc/name.",
    ),
    click.option(
        "-n",
        "--namespace",
        type=NamespaceName(),
        metavar="NAME",
        shell_complete=completion.complete_namespaces,
        help="Of deployment/web and web.",
    ),
    click.option(
        "--port",
        type=FlowPort(),
        metavar="PORT",
        help="Of TCP, UDP and SCTP: 80, TCP/80 or 80/tcp; of a Service also by name.",
    ),
    click.option(
        "--protocol",
        help="TCP, UDP, SCTP, ICMP or the number of an IP protocol [default: that of --port, or "
        "TCP].",
    ),
)


@dataclass(frozen=True, slots=True)
class Between:
    """A flow between two ends, as it is asked for."""

    src: str
    dst: str
    port: int | str | None
    protocol: str
    namespace: str = ""

    def flows(self, program: Program) -> tuple[Flow, ...]:
        """One for each address family the ends share; `UsageError` for what no packet could be."""
        from netpolc.core.ends import flows_between

        protocol = int(self.protocol) if self.protocol.isdigit() else self.protocol
        ends = program, self.src, self.dst
        try:
            return flows_between(*ends, protocol, self.port, namespace=self.namespace)
        except ValueError as error:
            raise UsageError(str(error)) from None


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
            port: tuple[Protocol | None, int | str] | None,
            protocol: str | None,
            namespace: str | None,
            **rest: Any,
        ) -> None:
            asked = None
            if src is not None and dst is not None:
                of, number = port if port is not None else (None, None)
                if of is not None and (protocol or of.name).upper() not in (of.name, str(int(of))):
                    raise UsageError(f"--port {of.name}/{number} is not of --protocol {protocol}")
                named = protocol or (of or Protocol.TCP).name
                asked = Between(src, dst, number, named, namespace or "")
            elif (src, dst, port) != (None, None, None):
                raise UsageError(usage)
            function(*args, asked=asked, **rest)

        return _flow_options(command)

    return decorate
