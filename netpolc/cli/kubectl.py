"""`kubectl netpolc`: the same program by the names under which kubectl looks for plugins.

kubectl starts `kubectl-netpolc` with the words behind `kubectl netpolc`, and asks
`kubectl_complete-netpolc` for completions, in the words of cobra, the library that it is made with:
a candidate a line, with its help behind a tab, and a last line with a directive
(kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins).
"""

from __future__ import annotations

import sys

from click.shell_completion import CompletionItem, ShellComplete

from netpolc.cli import main, run
from netpolc.cli.output import write
from netpolc.core.foreign import inert

NAME = "kubectl netpolc"
_SHELL_DECIDES, _NO_FILES = 0, 4
"""Cobra's ShellCompDirectiveDefault, with which shells offer files, and NoFileComp."""


def run_plugin() -> None:
    """The `kubectl-netpolc` program."""
    run(NAME)


def complete() -> None:
    """The `kubectl_complete-netpolc` program: words, of which the last one is not finished."""
    *words, incomplete = sys.argv[1:] or [""]
    found = ShellComplete(main, {}, NAME, "").get_completions(words, incomplete)
    named = [own for own in found if own.type == "plain"]
    # A type other than plain means that the shell knows the names: those of files.
    directive = _NO_FILES if len(named) == len(found) else _SHELL_DECIDES
    write("".join(f"{line}\n" for line in (*map(_line, named), f":{directive}")), None)


def _line(item: CompletionItem) -> str:
    name = inert(str(item.value))
    return f"{name}\t{item.help}" if item.help else name
