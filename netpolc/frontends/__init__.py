"""Frontends: each reads the objects of some kinds. A kind is one file and one line in `kinds.py`.

Which meaning old objects have is chosen for the whole snapshot (`Semantics`), because their
apiVersion alone cannot tell (Kubernetes 1.7 to 1.15 wrote extensions/v1beta1 objects with today's
meaning).
"""

from __future__ import annotations

from netpolc.frontends.choices import Semantics as Semantics
from netpolc.frontends.choices import Treatment as Treatment
