"""The objects of a cluster as they change, and the ruleset that one node has of them.

Comes in: lists of objects, then events, as an API server gives them. Goes out: the ruleset of a
node, the same as one that is compiled afresh from the objects there are. Refused: what is no object
or of no kind that a cluster is judged by.
"""

from netpolc.live.live import KINDS as KINDS
from netpolc.live.live import Live as Live
