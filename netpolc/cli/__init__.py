"""The command line: each command parses, calls one function, prints. Exit codes: 0 fine, 1
findings, 2 bad input or usage, 3 the kernel or the system said no.
"""

from __future__ import annotations

import gc
from errno import EPIPE

import click

from netpolc._version import __version__
from netpolc.cli.apply import apply
from netpolc.cli.check import check_
from netpolc.cli.compile import compile_
from netpolc.cli.confirm import confirm
from netpolc.cli.delete import delete
from netpolc.cli.diff import diff
from netpolc.cli.eval import eval_
from netpolc.cli.explain import explain_
from netpolc.cli.list import list_
from netpolc.cli.refusals import tell
from netpolc.cli.status import status
from netpolc.cli.test import test_
from netpolc.cli.top import top
from netpolc.cli.verify import verify
from netpolc.errors import NetpolcError, SystemRefusal


class _Group(click.Group):
    """Turns netpolc's refusals into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except NetpolcError as error:
            tell(error)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno == EPIPE:
                raise  # the reader left: click ends quietly
            click.echo(f"netpolc: {error.strerror or error}", err=True)
            ctx.exit(SystemRefusal.exit_code)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="netpolc %(version)s")
def main() -> None:
    """Compile Kubernetes NetworkPolicy to nftables, and enforce it.

    PATHs are manifests: files or folders (.yaml, .yml, .json), or - for standard input. They make
    up one snapshot: namespaces, pods, nodes and policies, as `kubectl get -o yaml` or `-o json`
    prints them.

    \b
    Exit codes: 0 fine, 1 findings, 2 bad input or usage, 3 the kernel or the system said no.
    """


for command in (  # in the order of a policy's life
    check_,
    list_,
    explain_,
    eval_,
    test_,
    diff,
    compile_,
    apply,
    confirm,
    verify,
    status,
    top,
    delete,
):
    main.add_command(command)


def run() -> None:
    """The `netpolc` program."""
    gc.disable()  # a short life without cycles: collecting would be a third of the time
    main()
