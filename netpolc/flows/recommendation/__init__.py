"""Least-privilege NetworkPolicies from the flows that a log shows: `recommend`.

Comes in: judged batches and the snapshot that they are of. Goes out: policies as YAML, or a patch
of those that there are, with the proof that they admit every flow and a list of what they admit
besides. Nothing is refused.
"""

from netpolc.flows.recommendation.merging import Merge as Merge
from netpolc.flows.recommendation.merging import merged_policies as merged_policies
from netpolc.flows.recommendation.needs import Wishes as Wishes
from netpolc.flows.recommendation.observed import Observation as Observation
from netpolc.flows.recommendation.proving import FlowProof as FlowProof
from netpolc.flows.recommendation.recommended import Recommendation as Recommendation
from netpolc.flows.recommendation.recommended import recommend as recommend
