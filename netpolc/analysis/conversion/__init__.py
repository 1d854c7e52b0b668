"""Policies of APIs that are gone, as those that took their place: `convert`.

Comes in: documents, with the snapshot they are. Goes out: objects of ClusterNetworkPolicy v1alpha2
and networking.k8s.io/v1, and what they would change, which is nothing. Refused, with the place:
what has no equal.
"""

from netpolc.analysis.conversion.conversion import Conversion as Conversion
from netpolc.analysis.conversion.conversion import convert as convert
from netpolc.analysis.conversion.proof import changed as changed
from netpolc.analysis.conversion.writing import as_yaml as as_yaml
