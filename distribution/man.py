"""Writes the manual pages of all commands into a folder: `python distribution/man.py FOLDER`.

The pages are made from the help of the commands by click-man, which reads commands that are there
already and cuts what they are about after 45 characters: both are mended here.
"""

import sys
import warnings
from pathlib import Path

import click

with warnings.catch_warnings():  # of what click-man asks of click
    warnings.simplefilter("ignore")
    from click_man.core import write_man_pages

from netpolc import __version__
from netpolc.cli import main


def whole() -> click.Group:
    """The program with each of its commands, and the first sentence of each as what it is about."""
    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    group = click.Group("netpolc", commands, params=main.params, help=main.help)
    for command in (group, *commands.values()):
        command.short_help = " ".join(command.help.partition("\n\n")[0].split())
    return group


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_man_pages("netpolc", whole(), version=__version__, target_dir=str(folder))
