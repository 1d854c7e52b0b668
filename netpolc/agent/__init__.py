"""The node agent: what the API server says, in the kernel a moment later.

Comes in: events of the API server, signals, changes that others make of the table. Goes out: the
table of this node, kept so; metrics, logs, and whether it is well. Nothing is imported here: of all
this, `status` asks `running.py` alone whether an agent is there.
"""
