"""`netpolc apply` where nothing has changed: told by digests, with nothing read or compiled.

Comes in: what is asked (`cli/inputs.py`), the options of the table. Goes out: the line that `apply`
says then, or None where it is not certain: the long way says whatever there is to say. The table is
read to its last object, as it is by `status`, and none of what it says of itself is believed.
"""

from __future__ import annotations

from netpolc.backends.nft.options import Options
from netpolc.backends.nft.rollout import runtime
from netpolc.backends.nft.rollout.libnftables.channel import Channel
from netpolc.backends.nft.rollout.state.table import TableReader
from netpolc.cli.inputs import Inputs
from netpolc.core.errors import NetpolcError

AUDIT = " (audit: nothing is denied)"


def unchanged(asked: Inputs, options: Options) -> str | None:
    """What is said if the table is what the inputs gave, and they are what they were."""
    files = asked.files()
    if files is None:
        return None
    try:
        with runtime.lock(options.table):
            made = TableReader(Channel()).made(options.table)
    except NetpolcError:
        return None  # the long way meets it again, and says it
    if made is None:
        return None
    for local in asked.nodes(files, made, options):
        said = what(options.table, local, made.content)
        return f"nothing to change in {said}{AUDIT if options.audit else ''}"
    return None


def what(table: str, local: str | None, digest: str) -> str:
    """For the user: table, node and digest."""
    of = f"node {local}" if local is not None else "every pod"
    return f"table inet {table} for {of}: {digest}"
