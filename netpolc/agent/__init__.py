"""The node agent: what the API server says, in the kernel a moment later.

Comes in: events of the API server, signals, changes that others make of the table. Goes out: the
table of this node, kept so; metrics, logs, and whether it is well.
"""

from netpolc.agent.enforcer import Enforcer as Enforcer
from netpolc.agent.inbox import Inbox as Inbox
from netpolc.agent.loop import Agent as Agent
