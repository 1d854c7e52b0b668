"""The command line: each command parses, calls one function, prints. Exit codes: 0 fine, 1
findings, 2 bad input or usage, 3 the kernel or the system said no.
"""

from __future__ import annotations

import gc
import os
import sys
from errno import EPIPE
from importlib import import_module

import click

from netpolc._version import __version__
from netpolc.cli import interruption
from netpolc.cli.refusals import print_notes, tell
from netpolc.cli.terminal import warn
from netpolc.core.errors import NetpolcError, SystemRefusal
from netpolc.core.foreign import inert

COMMANDS = {  # in the order of a policy's life
    "check": "review.check.check_",
    "list": "review.list.list_",
    "explain": "review.explain.explain_",
    "eval": "review.eval.eval_",
    "test": "review.test.test_",
    "diff": "review.diff.diff",
    "audit": "review.audit.audit",
    "recommend": "review.recommend.recommend_",
    "convert": "review.convert.convert_",
    "compile": "enforce.compile.compile_",
    "apply": "enforce.apply.apply",
    "agent": "enforce.agent.agent",
    "confirm": "enforce.confirm.confirm",
    "verify": "observe.verify.verify",
    "status": "observe.status.status",
    "top": "observe.top.top",
    "delete": "enforce.delete.delete",
}
"""Where the function of each command is, below this folder; imported when it is wanted."""


class _Group(click.Group):
    """Imports commands when they are wanted; turns refusals into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *self.commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, _, function = COMMANDS[cmd_name].rpartition(".")
        found: click.Command = getattr(import_module(f"netpolc.cli.{module}"), function)
        return found

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:  # a shell's `*` may make an option of a file's name
            raise click.UsageError(inert(error.format_message()), error.ctx) from None
        except NetpolcError as error:
            tell(error)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as error:
            interruption.tell_interrupted(error)
            print_notes(error)
            ctx.exit(interruption.exit_code(error))
        except OSError as error:
            if error.errno == EPIPE:
                raise  # the reader left: click ends quietly
            warn(f"netpolc: {error.strerror or error}")
            print_notes(error)
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


def run(name: str | None = None) -> None:
    """The `netpolc` program, or the same by another name."""
    interruption.listen()
    gc.disable()  # a short life without cycles: collecting would be a third of the time
    main(prog_name=name)
