"""`netpolc check`."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from netpolc.analysis.findings import (
    CATALOGUE,
    MANIFEST_ERROR,
    Finding,
    Level,
    Scope,
    check,
    guessed,
    refused,
    unlisted,
)
from netpolc.analysis.findings.formats import FORMATS, Checked, explanation, lines
from netpolc.cli import completion, options
from netpolc.cli.output import write
from netpolc.cli.parameters import output
from netpolc.cli.review.fixing import Fixed, fixed
from netpolc.cli.settings import path_below, repository_of
from netpolc.cli.terminal import say_lines, show, warn
from netpolc.cli.unread import Heed
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot
from netpolc.core.errors import UNREAD, InputError, UsageError

if TYPE_CHECKING:
    from netpolc.apiserver.reading import ClusterState


@click.command("check")
@options.optional_paths
@output(lambda: FORMATS, "text", "The form of the findings.")
@click.option(
    "--fail-on",
    type=click.Choice([str(level) for level in reversed(Level)]),
    help="The least level that makes the exit code 1 [default: warning].",
)
@click.option(
    "--select",
    multiple=True,
    metavar="CODE",
    shell_complete=completion.complete_codes,
    help="Only these, as in NP301,NP1 [default: all].",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="CODE",
    shell_complete=completion.complete_codes,
    help="Not these; NP1 is every NP1xx.",
)
@click.option("--fix", is_flag=True, help="Edit the manifests where one edit is safe.")
@click.option("--diff", "as_patch", is_flag=True, help="Show what --fix would change, as a patch.")
@click.option(
    "--explain",
    metavar="CODE",
    shell_complete=completion.complete_codes,
    help="Say what a code means, with example and fix.",
)
@click.option(
    "--scope",
    type=click.Choice([str(own) for own in Scope]),
    help="What may be missing: nothing in a dump of a cluster; in a repository namespaces and pods "
    "may come from elsewhere, so that NP101 to NP103 are notes [default: repo, unless some pod has "
    "an address].",
)
@options.configured_reading
@options.cluster()
def check_(
    paths: tuple[str, ...],
    form: str,
    file: str | None,
    fail_on: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    scope: str | None,
    fix: bool,
    as_patch: bool,
    explain: str | None,
    reading: options.Reading,
) -> None:
    """Find what is valid and most likely not meant.

    Codes are stable. The annotation netpolc.dev/ignore: "NP102, NP501" on an object waives findings
    about it; what makes a manifest invalid cannot be waived, and its exit code is 2.

    \b
    Examples:
      netpolc check cluster/
      netpolc check policies/ -o sarif --file netpolc.sarif --ignore NP102,NP103
      netpolc check --explain NP105
      kustomize build overlays/prod | netpolc check - --fail-on error
      netpolc check --context prod
    """
    if explain is not None:
        (code,) = _codes((explain,), exactly=True)
        say_lines(_wrapped(explanation(CATALOGUE[code])))
        return
    reading = reading.configured(paths)
    wanted = _chosen("select", select, reading) or set(CATALOGUE)
    wanted = (wanted - _chosen("ignore", ignore, reading)) | {MANIFEST_ERROR}
    if reading.heed() is Heed.ERROR:
        wanted.add(UNREAD)
    level = _level(fail_on, reading)
    look = partial(_look, paths, reading, scope, wanted, level)
    checked, snapshots = look()
    if len(snapshots) > 1 and (fix or as_patch):
        raise UsageError("--fix: several kustomizations or charts: give one at a time")
    if snapshots and (fix or as_patch):
        made = fixed(checked.findings, snapshots[0], partial(reading.edited, paths))
        if as_patch:
            _show_patch(made, file)
            raise click.exceptions.Exit(1 if made.after else 0)
        made.write()
        _tell_fixed(made)
        checked, snapshots = look() if made.after else (checked, snapshots)
    if form == "text":
        show(lines(checked), file)
    else:
        write(FORMATS[form](checked), file)
    if not snapshots:
        raise click.exceptions.Exit(InputError.exit_code)
    if any(found.level >= level for found in checked.findings):
        raise click.exceptions.Exit(1)


def _look(
    paths: tuple[str, ...],
    reading: options.Reading,
    scope: str | None,
    wanted: Collection[str],
    level: Level,
) -> tuple[Checked, list[Snapshot]]:
    """What is found and wanted, and what was read if the manifests were valid at all."""
    findings, snapshots, found = _findings(paths, reading, scope)
    if reading.heed() is Heed.ERROR:
        findings = [replace(own, level=_unread_level(own)) for own in findings]
    shown = [found for found in findings if found.code in wanted]
    unread = sorted({own for snapshot in snapshots for own in snapshot.unread})
    is_guess = not (scope or reading.settings.scope)
    path_of = partial(path_below, repository_of(paths))
    return Checked(shown, level, unread, found, is_guess, path_of), snapshots


def _show_patch(made: Fixed, file: str | None) -> None:
    colours = {"-": "red", "+": "green", "@": "cyan"}
    show(((line, colours.get(line[:1], "")) for line in made.patch()), file)
    _tell_left(made)


def _tell_fixed(made: Fixed) -> None:
    for found in made.done:
        warn(f"fixed: {found.place}: {found.code}: {found.object}")
    _tell_left(made)


def _tell_left(made: Fixed) -> None:
    for found, reason in made.left:
        warn(f"not fixed: {found.place}: {found.code}: {reason}")


def _unread_level(found: Finding) -> Level:
    """The level where a policy that is not judged is an error."""
    return Level.ERROR if found.code == UNREAD else found.level


def _scope(given: str | None, snapshot: Snapshot, reading: options.Reading) -> Scope:
    """What may be missing, as it is asked for, as the settings say, or as it looks."""
    name = given or reading.settings.scope or guessed(snapshot).value
    if name not in [own.value for own in Scope]:
        raise reading.settings.refuse("scope", f"{name!r} is none of {', '.join(Scope)}")
    return Scope(name)


def _findings(
    paths: tuple[str, ...], reading: options.Reading, given: str | None
) -> tuple[list[Finding], list[Snapshot], Scope | None]:
    """The findings, what was read (nothing if the manifests were not valid), and what may be
    missing. What the live cluster does not show comes first.
    """
    hidden = [*_unlisted(reading.cluster)] if reading.cluster is not None else []
    try:
        snapshots = replace(reading, unread=Heed.WARN.value).each(paths)
    except InputError as error:
        return [*hidden, *refused(error.diagnostics)], [], None
    found: dict[Finding, None] = dict.fromkeys(hidden)
    scopes = set()
    for snapshot in snapshots:
        reading.say_ignored(snapshot)
        scope = _scope(given, snapshot, reading)
        scopes.add(scope)
        meant = snapshot.enforcing_all()  # a policy that is tried is meant as it is written
        found.update(dict.fromkeys(check(meant, compile(meant), scope)))
    return list(found), snapshots, max(scopes)


def _unlisted(live: ClusterState) -> Iterator[Finding]:
    for own in sorted(live.unlisted):
        yield unlisted(live.name, own.plural, own.why)


def _level(given: str | None, reading: options.Reading) -> Level:
    """The least level that fails, as it is asked for or as the settings say."""
    name = given or reading.settings.fail_on or str(Level.WARNING)
    if name not in {str(level) for level in Level}:
        levels = ", ".join(str(level) for level in reversed(Level))
        raise reading.settings.refuse("fail-on", f"{name!r} is none of {levels}")
    return Level[name.upper()]


def _chosen(name: str, given: tuple[str, ...], reading: options.Reading) -> set[str]:
    """The codes that an option names, or else the settings."""
    if given:
        return _codes(given)
    own: tuple[str, ...] = getattr(reading.settings, name)
    try:
        return _codes(own)
    except UsageError as error:
        raise reading.settings.refuse(name, error) from None


def _codes(given: tuple[str, ...], exactly: bool = False) -> set[str]:
    """Codes by their names or beginnings."""
    found: set[str] = set()
    for name in (part.strip().upper() for text in given for part in text.split(",")):
        codes = {c for c in CATALOGUE if c == name or (name and not exactly and c.startswith(name))}
        if not codes:
            raise UsageError(f"unknown code {name!r}: there are {', '.join(CATALOGUE)}")
        found |= codes
    return found


def _wrapped(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from [line] if line.startswith(" ") or not line else textwrap.wrap(line, width=80)
