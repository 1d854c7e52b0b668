"""Frontends: each reads the objects of some kinds. A kind is one file and one line in `kinds.py`.

Which meaning old objects have is chosen for the whole snapshot (`Semantics`), because their
apiVersion alone cannot tell (Kubernetes 1.7 to 1.15 wrote extensions/v1beta1 objects with today's
meaning). Nothing is imported here: all commands have these options, and few read manifests.
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
