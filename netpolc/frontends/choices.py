"""What is chosen for a whole snapshot: which meaning its objects have, what becomes of odd ones.

Comes in from options; goes to the readers of objects. Nothing is imported here, because every
command has these options and few read manifests.
"""

from __future__ import annotations

from enum import StrEnum


class Semantics(StrEnum):
    """What policies of a snapshot mean: today's API, or that of Kubernetes 1.3 to 1.6."""

    CURRENT = "current"
    V1_6 = "v1.6"


class Treatment(StrEnum):
    """What becomes of the others where one object is odd."""

    REFUSE = "refuse"
    ISOLATE = "isolate"
