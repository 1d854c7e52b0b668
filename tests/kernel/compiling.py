"""A host on which commands are told apart by what they compile."""

from __future__ import annotations

from pathlib import Path

from tests.cli.invocation import Outcome, invoke
from tests.helpers.lab import Router

NODE = ("--node", "node-a")


class Machine:
    """A host with a folder of manifests, where commands are told apart by what they compile."""

    def __init__(self, router: Router, folder: Path) -> None:
        self.router, self.folder = router, folder
        self.compiled = 0

    def run(self, command: str, *arguments: str, stdin: bytes | None = None) -> Outcome:
        """A command with the folder, unless other paths are given."""
        names_paths = arguments[:1] == ("-",) or not "".join(arguments[:1]).startswith("-")
        paths = () if arguments and names_paths else (str(self.folder), *NODE)
        return self.router.call(lambda: invoke(command, *paths, *arguments, stdin=stdin))

    def compiles(self, command: str, *arguments: str, stdin: bytes | None = None) -> bool:
        """Whether a command that succeeds compiles."""
        before = self.compiled
        outcome = self.run(command, *arguments, stdin=stdin)
        assert outcome.code == 0, outcome
        return self.compiled > before
