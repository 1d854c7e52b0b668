"""What options take: names, ports, files, forms of output. Each completes itself in a shell."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from netpolc.cli.terminal import warn
from netpolc.core.nets import Protocol, parse_address, parse_ports

Command = Callable[..., None]

if TYPE_CHECKING:
    _OfText = click.Choice[str]
    _OfAddress = click.ParamType[tuple[str, int]]
    _OfName = click.ParamType[str]
    _OfPort = click.ParamType[tuple[Protocol | None, int]]
    _OfFlowPort = click.ParamType[tuple[Protocol | None, int | str]]
else:  # types with arguments are newer than the oldest click that is taken
    _OfAddress = _OfName = _OfPort = _OfFlowPort = click.ParamType
    _OfText = click.Choice

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
"""DNS-1123, as names of ports of Services are, with a letter; and so no number and no span."""
FILE = click.Path(allow_dash=True, readable=False)
"""A file or folder that shells complete; whether it can be read is found where it is read."""


def stack(*decorators: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several decorators as one; the first becomes the outermost."""

    def decorate(function: Command) -> Command:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


class Registered(_OfText):
    """One of the names in a registry, as they are when they are asked for."""

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names
        super().__init__(())

    @property
    def choices(self) -> tuple[str, ...]:
        """The names."""
        return tuple(self.names())

    @choices.setter
    def choices(self, _: Iterable[str]) -> None:
        """`click.Choice` sets what it is made with: nothing."""


class _RegisteredOrFile(Registered):
    """The same, and for now also the file that this option once took."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        return str(value)


class NodeAddressType(_OfAddress):
    """A node and one of its addresses, `node-a=10.64.0.1`."""

    name = "node address"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Its name and the number of the address, or a usage error."""
        node, equals, address = str(value).partition("=")
        try:
            if node and equals:
                return node, parse_address(address)
        except ValueError:
            pass
        return self.fail(f"{value!r} is not like node-a=10.64.0.1", param, ctx)


class NamespaceName(_OfName):
    """The name of a namespace."""

    name = "namespace"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The name, or a usage error."""
        from netpolc.frontends.fields import dns_label_problems  # few name a namespace

        for problem in dns_label_problems(str(value)):
            self.fail(f"{value!r}: {problem}", param, ctx)
        return str(value)


class PortType(_OfPort):
    """A port, with its protocol or without: `80`, `TCP/80`, `80/tcp`."""

    name = "port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Protocol | None, int]:
        """The protocol, if one is named, and the number; else a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            protocol, first, last = parse_ports(str(value))
        except ValueError as error:
            return self.fail(str(error), param, ctx)
        if first != last or not first:
            return self.fail(f"{value!r} is no port: give one from 1 to 65535", param, ctx)
        return protocol, first


class FlowPort(_OfFlowPort):
    """The same, and the name of a port of a Service."""

    name = "port"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Protocol | None, int | str]:
        """The protocol, if one is named, and number or name; else a usage error."""
        if isinstance(value, str) and _PORT_NAME.fullmatch(value):
            return None, value
        return PortType().convert(value, param, ctx)


def output(
    forms: Callable[[], Iterable[str]],
    default: str,
    about: str,
    where: str = "Where to write it [default: print].",
    *,
    once: tuple[str, ...] | None = None,
) -> Callable[[Command], Command]:
    """`-o FORM` and `--file FILE`, which become the parameters `form: str` and `file: str | None`.

    `once` are other names that the form had when `-o` took the file; for one release both are
    still understood, with a warning. None: it was never so.
    """
    chosen: click.Choice[str] = Registered(forms) if once is None else _RegisteredOrFile(forms)
    options = stack(
        click.option(
            "-o",
            "--output",
            "form",
            type=chosen,
            default=default,
            show_default=True,
            help=about,
        ),
        click.option("--file", metavar="FILE", type=FILE, help=where),
    )
    if once is None:
        return options
    return stack(options, _older(forms, default, once))


def _older(
    forms: Callable[[], Iterable[str]], default: str, once: tuple[str, ...]
) -> Callable[[Command], Command]:
    """Understands `-o FILE` and the older names of the form."""

    def decorate(function: Command) -> Command:
        @wraps(function)
        def command(
            *args: Any, form: str, file: str | None, older_form: str | None = None, **rest: Any
        ) -> None:
            if form not in forms():
                is_word = form.isalnum() and not os.path.exists(form) and not rest.get("all_nodes")
                if file is not None or is_word:  # a slip, and no file
                    _one_of(form, forms(), "-o")
                warn(f"-o is the form of the output: write --file {form}; -o FILE will be refused")
                form, file = default, form
            if older_form is not None:
                _one_of(older_form, forms(), once[0])
                warn(f"{once[0]} is now -o: write -o {older_form}; {once[0]} will be refused")
                form = older_form
            function(*args, form=form, file=file, **rest)

        if not once:
            return command
        return click.option(*once, "older_form", hidden=True)(command)

    return decorate


def _one_of(name: str, names: Iterable[str], option: str) -> None:
    """Refuse, as click does, what is none of the names."""
    known = tuple(names)
    if name not in known:
        listed = ", ".join(map(repr, known))
        told = f"{name!r} is not one of {listed}; a file goes with --file."
        raise click.BadParameter(told, param_hint=f"'{option}'")
