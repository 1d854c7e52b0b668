"""An audit as text: rows for a table, JSON (docs/flow-logs.md), CSV, and sentences.

Comes in: groups, or unused rules, with the totals of the log. Goes out: text, or rows for whoever
draws a table. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from netpolc.analysis.connectivity import formats
from netpolc.core.cluster import Unread, not_judged, unread_kinds
from netpolc.core.foreign import to_json
from netpolc.core.nets import format_service, protocol_name
from netpolc.flows.audit import FlowGroup, Sample, Totals
from netpolc.flows.judging import RecordOutcome
from netpolc.flows.notes import LogNote
from netpolc.flows.usage import UnusedRule

VERSION = 1
"""Of the JSON document; it changes when a field changes its meaning."""
WORDS = {
    RecordOutcome.ALLOW: "allow",
    RecordOutcome.DENY: "deny",
    RecordOutcome.FAR: "deny at the other end",
    RecordOutcome.UNCLEAR: "deny, unless a reply",
}
_AT = {"": "", "egress": "source", "ingress": "destination"}
_COUNTED = {
    RecordOutcome.ALLOW: "allowed",
    RecordOutcome.DENY: "denied",
    RecordOutcome.FAR: "denied at the other end",
    RecordOutcome.UNCLEAR: "unclear",
    RecordOutcome.REPLY: "replies",
    RecordOutcome.NO_POD: "between ends that are no pods",
    RecordOutcome.UNJUDGED: "not judged",
}
Because = Callable[[FlowGroup], Sequence[str]]
"""Why a group is denied, in explain's words."""


@dataclass(slots=True)
class Findings:
    """What an audit shows: groups, or rules; the totals; what the logs do not say; policies of
    kinds that are not judged.
    """

    totals: Totals
    notes: Sequence[LogNote]
    groups: Sequence[FlowGroup] = ()
    rules: Sequence[UnusedRule] | None = None
    because: Because | None = None
    unread: Sequence[Unread] = ()
    _reasons: dict[int, Sequence[str]] = field(default_factory=dict)

    def reasons(self, group: FlowGroup) -> Sequence[str]:
        """Why it is denied, looked up once."""
        if self.because is None:
            return ()
        if id(group) not in self._reasons:
            self._reasons[id(group)] = self.because(group)
        return self._reasons[id(group)]


def shown(found: Findings, most: int | None = None) -> tuple[list[str], list[list[str]]]:
    """Headers and the first rows for people; columns in which nothing stands are left out."""
    if found.rules is not None:
        return ["policy", "rule", "at"], [
            [own.policy, own.rule or "(all)", own.place] for own in found.rules[:most]
        ]
    headers = ["change", "source", "destination", "connection", "policies", "log", "seen at"]
    headers += ["records", "bytes", "finding", "because"]
    rows = [_row(found, group) for group in found.groups[:most]]
    filled = [at for at, header in enumerate(headers) if header in _ALWAYS or _any(rows, at)]
    return [headers[at] for at in filled], [[row[at] for at in filled] for row in rows]


_ALWAYS = {"source", "destination", "connection", "policies", "records"}
NUMBERS = ("records", "bytes")
"""Columns that stand to the right."""


def _any(rows: Sequence[Sequence[str]], at: int) -> bool:
    return any(row[at] for row in rows)


def connection_of(group: FlowGroup) -> str:
    """Protocol and port for people."""
    service = format_service(group.protocol, group.port)
    return f"{service} (other ports)" if group.is_summed else service


def _row(found: Findings, group: FlowGroup) -> list[str]:
    return [
        group.shift or "",
        group.source,
        group.destination,
        connection_of(group),
        WORDS[group.outcome],
        group.verdict,
        _AT[group.side],
        str(group.records),
        "" if group.bytes is None else str(group.bytes),
        group.disagreement or "",
        "; ".join(found.reasons(group)),
    ]


def as_csv(found: Findings) -> str:
    """CSV: a line a group, or a rule."""
    if found.rules is not None:
        return formats.csv(UnusedRule._fields, found.rules, not_judged(found.unread))
    rows = [flat(document(found, group)) for group in found.groups]
    columns = list(flat(document(found, _NONE)))
    cells = ([_cell(row.get(name)) for name in columns] for row in rows)
    return formats.csv(columns, cells, not_judged(found.unread))


def as_json(found: Findings) -> str:
    """The document of docs/flow-logs.md, a group a line."""
    name, every = "flows", [document(found, group) for group in found.groups]
    if found.rules is not None:
        name, every = "unused", [own._asdict() for own in found.rules]
    lines = ",".join(f"\n    {to_json(own)}" for own in every)
    return f'{to_json(facts(found))[:-1]},\n  "{name}": [{lines}\n  ]}}\n'


def facts(found: Findings) -> dict[str, Any]:
    """What there is to say beside groups and rules, for programs."""
    head = {"version": VERSION, "records": found.totals.records, **_totals(found.totals)}
    notes = [
        {"gravity": own.gravity.name.lower(), "kind": own.kind, "place": own.place, "n": own.count}
        for own in found.notes
    ]
    unread = {"unread": unread_kinds(found.unread)} if found.unread else {}
    return {**head, "notes": notes, **unread}


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "first": time_text(totals.first),
        "last": time_text(totals.last),
        "outside_span": totals.outside_span,
        "outcomes": {_COUNTED[own]: totals.outcomes[own] for own in _COUNTED},
        "not_judged": dict(sorted(totals.problems.items())),
        "made_at_source": totals.sides["egress"],
        "made_at_destination": totals.sides["ingress"],
    }


def document(found: Findings, group: FlowGroup) -> dict[str, Any]:
    """A group, field by field."""
    return {
        "source": group.source,
        "destination": group.destination,
        "protocol": protocol_name(group.protocol),
        "port": group.port,
        "policies": WORDS[group.outcome],
        "log": group.verdict or None,
        "seen_at": _AT[group.side] or None,
        "finding": group.disagreement,
        "change": group.shift,
        "records": group.records,
        "packets": group.packets,
        "bytes": group.bytes,
        "first": time_text(group.first),
        "last": time_text(group.last),
        "example": {"source": group.sample.source, "destination": group.sample.destination},
        "because": list(found.reasons(group)) if group.records else [],
    }


_NONE = FlowGroup("", "", 0, None, RecordOutcome.ALLOW, None, "", "", Sample("", "", 0, None))


def flat(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a group as columns."""
    example = fields.pop("example")
    return {
        **fields,
        "example_source": example["source"],
        "example_destination": example["destination"],
    }


def _cell(value: object) -> str:
    if isinstance(value, list):
        return "; ".join(value)
    return "" if value is None else str(value)


def time_text(moment: int | None) -> str | None:
    """A moment as RFC 3339 says it."""
    if moment is None:
        return None
    text = datetime.fromtimestamp(moment // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{moment % 1_000_000:06}Z" if moment % 1_000_000 else f"{text}Z"


def told(found: Findings) -> Iterator[str]:
    """The totals in sentences, then what the logs do not say."""
    totals = found.totals
    counts = [
        f"{totals.outcomes[own]} {word}" for own, word in _COUNTED.items() if totals.outcomes[own]
    ]
    counted = ", ".join(counts) or "none of them judged"
    yield f"{totals.records} records{observed_span(totals)}: {counted}"
    if totals.sides.total():
        yield (
            f"{totals.sides['egress']} records were made at the source's end and "
            f"{totals.sides['ingress']} at the destination's: a flow may be in both"
        )
    if totals.outside_span:
        yield f"{totals.outside_span} records lie outside of the span that is asked for"
    for problem, count in sorted(totals.problems.items(), key=lambda own: (-own[1], own[0])):
        yield f"not judged: {count} records: {problem}"
    yield from map(str, found.notes)


def observed_span(totals: Totals) -> str:
    """From when to when there were records, for people; empty where the log has no times."""
    if totals.first is None:
        return ""
    return f", from {time_text(totals.first)} to {time_text(totals.last)}"
