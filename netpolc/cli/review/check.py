"""`netpolc check`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import click

from netpolc.analysis.findings import CATALOGUE, MANIFEST_ERROR, Finding, Level, check, refused
from netpolc.analysis.findings.formats import FORMATS, explanation
from netpolc.cli import completion, options
from netpolc.cli.output import write
from netpolc.cli.parameters import output
from netpolc.cli.terminal import say_lines
from netpolc.compiler import compile
from netpolc.core.errors import InputError, UsageError


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
@click.option(
    "--explain",
    metavar="CODE",
    shell_complete=completion.complete_codes,
    help="Say what a code means, with example and fix.",
)
@options.configured_reading
def check_(
    paths: tuple[str, ...],
    form: str,
    file: str | None,
    fail_on: str | None,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
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
    """
    if explain is not None:
        (code,) = _codes((explain,), exactly=True)
        say_lines(_wrapped(explanation(CATALOGUE[code])))
        return
    if not paths:
        raise UsageError("say which PATHs to check, or --explain CODE")
    reading = reading.configured(paths)
    wanted = _chosen("select", select, reading) or set(CATALOGUE)
    wanted = (wanted - _chosen("ignore", ignore, reading)) | {MANIFEST_ERROR}
    level = _level(fail_on, reading)
    findings, is_valid = _findings(paths, reading)
    shown = [found for found in findings if found.code in wanted]
    write(FORMATS[form](shown, level), file)
    if not is_valid:
        raise click.exceptions.Exit(InputError.exit_code)
    if any(found.level >= level for found in shown):
        raise click.exceptions.Exit(1)


def _findings(paths: tuple[str, ...], reading: options.Reading) -> tuple[list[Finding], bool]:
    """The findings, and whether the manifests were valid at all."""
    try:
        snapshots = reading.each(paths)
    except InputError as error:
        return refused(error.diagnostics), False
    found: dict[Finding, None] = {}
    for snapshot in snapshots:
        reading.say_ignored(snapshot)
        meant = snapshot.enforcing_all()  # a policy that is tried is meant as it is written
        found.update(dict.fromkeys(check(meant, compile(meant))))
    return list(found), True


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
