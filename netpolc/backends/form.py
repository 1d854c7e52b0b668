"""What a backend writes for people and programs: a form of a Program, by name.

Comes in: a Program. Goes out: text, for each node or for all of them. A backend is one folder with
its forms and one line in `forms.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netpolc.core.program import Program

Emit = Callable[[str | None, Any], str]
"""The text for a node (None: every pod is local) with the options that were chosen."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form of output: its name, which is the suffix of its files, and what it is, in few words.

    `open` gets a Program once and gives what writes it, node by node unless it is not `per_node`.
    """

    name: str
    about: str
    open: Callable[[Program], Emit]
    per_node: bool = True
