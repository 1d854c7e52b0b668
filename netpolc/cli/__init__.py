"""The command line: each command parses, calls one function, prints. Exit codes: 0 fine, 1
findings, 2 bad input or usage, 3 the kernel or the system said no.
"""

from __future__ import annotations

import gc
import os
import sys
from errno import EPIPE

import click

from netpolc._version import __version__
from netpolc.cli import interruption
from netpolc.cli.apply import apply
from netpolc.cli.check import check_
from netpolc.cli.compile import compile_
from netpolc.cli.confirm import confirm
from netpolc.cli.delete import delete
from netpolc.cli.diff import diff
from netpolc.cli.eval import eval_
from netpolc.cli.explain import explain_
from netpolc.cli.list import list_
from netpolc.cli.refusals import notes, tell
from netpolc.cli.status import status
from netpolc.cli.terminal import warn
from netpolc.cli.test import test_
from netpolc.cli.top import top
from netpolc.cli.verify import verify
from netpolc.core.errors import NetpolcError, SystemRefusal
from netpolc.core.foreign import inert


class _Group(click.Group):
    """Turns netpolc's refusals into messages and exit codes."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:  # a shell's `*` may make an option of a file's name
            raise click.UsageError(inert(error.format_message()), error.ctx) from None
        except NetpolcError as error:
            tell(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as error:
            interruption.tell(error)
            notes(error)
            ctx.exit(interruption.exit_code(error))
        except OSError as error:
            if error.errno == EPIPE:
                raise  # the reader left: click ends quietly
            warn(f"netpolc: {error.strerror or error}")
            notes(error)
            _give_up_what_cannot_be_printed()
            ctx.exit(SystemRefusal.exit_code)


def _give_up_what_cannot_be_printed() -> None:
    """Otherwise Python tries again at its end, and since 3.13 its failure is the exit code, 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="netpolc %(version)s")
def main() -> None:
    """Compile Kubernetes NetworkPolicy to nftables, and enforce it.

    PATHs are manifests: files or folders (.yaml, .yml, .json), or - for standard input. They make
    up one snapshot: namespaces, pods, nodes and policies, as `kubectl get -o yaml` or `-o json`
    prints them.

    \b
    Exit codes: 0 fine, 1 findings, 2 bad input or usage, 3 the kernel or the system said no; 130
    interrupted (Ctrl-C), 143 terminated.
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
    interruption.listen()
    gc.disable()  # a short life without cycles: collecting would be a third of the time
    main()
