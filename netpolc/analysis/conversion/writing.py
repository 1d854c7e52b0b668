"""Objects as YAML, which stays data whoever reads it.

Comes in: plain values. Goes out: a document each. No text of others can begin a line, or hold what
runners of CI take for a command (`foreign`). Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from netpolc.core.foreign import inert

_MARK = "##"


class _Dumper(yaml.SafeDumper):
    """Lists stand below their key, indented; nothing refers to anything else."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if inert(value) == value and _MARK not in value else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(objects: Iterable[Mapping[str, Any]]) -> str:
    """The objects, each a document of one file."""
    documents = (
        yaml.dump(dict(own), Dumper=_Dumper, sort_keys=False, width=1 << 20) for own in objects
    )
    # Whatever holds the mark stands between double quotes, where it has an escape.
    return "---\n".join(documents).replace(_MARK, "\\x23#")
