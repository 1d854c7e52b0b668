"""What the report holds of each pair is what the table and the difference say, asked one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given

import netpolc
from netpolc.analysis.connectivity import Party, Table, describe_ports
from netpolc.analysis.connectivity.difference import Difference
from netpolc.analysis.report.document import (
    NO_FAMILY,
    Matrix,
    ReportDocument,
    State,
    report_document,
)
from netpolc.core.ir import Direction
from netpolc.core.nets import Family
from tests.helpers.strategies import patient, snapshots
from tests.property.test_difference import edited

Manifest = dict[str, Any]
PATIENT = patient(40)


def admits(made: ReportDocument, side: str, source: int, destination: int) -> str:
    """By family, as the page reads it; nothing for a pair that it does not look up."""
    here, there = made.parties[source], made.parties[destination]
    if here.is_outside and there.is_outside:
        return ""
    if source == destination and here.is_single:
        return ""
    row: int | None = getattr(here, side)
    column: int | None = getattr(there, side)
    if row is None or column is None:
        return ""
    matrix: Matrix = getattr(made, side)
    return made.outcomes[made.rows[matrix.outcomes[row]][column]].admits


def listed(table: Table, source: Party, destination: Party) -> str:
    ports = {
        version: describe_ports(found.ports)
        for found in table.between(source, destination)
        for version in found.families
    }
    return "; ".join(f"{text} (IPv{version})" for version, text in sorted(ports.items()))


def reason(made: ReportDocument, rows: tuple[int, ...], subject: int, peer: int) -> str | None:
    own, other = made.parties[subject].after, made.parties[peer].after
    assert own is not None
    assert other is not None
    number = made.rows[rows[own]][other]
    return None if number == NO_FAMILY else made.reasons[number].ports


@PATIENT
@given(snapshots())
def test_every_pair_is_what_the_table_says(objects: list[Manifest]) -> None:
    table = Table(netpolc.compile(netpolc.load_objects(objects)))
    made = report_document("title", State(table.reach, table.parties))
    for source, here in enumerate(table.parties):
        for destination, there in enumerate(table.parties):
            found = admits(made, "after", source, destination)
            assert found == listed(table, here, there), (here.name, there.name)
            for version in Family:
                egress = reason(made, made.after.egress[version], source, destination)
                ingress = reason(made, made.after.ingress[version], destination, source)
                if version in here.places and version in there.places:
                    places = here.places[version], there.places[version]
                    out = table.reach.admission(Direction.EGRESS, *places)
                    into = table.reach.admission(Direction.INGRESS, *reversed(places))
                    assert (egress, ingress) == (
                        describe_ports(out.ports),
                        describe_ports(into.ports),
                    )
                else:
                    assert egress is ingress is None


@PATIENT
@given(edited())
def test_what_changed_is_what_the_difference_says(
    objects: tuple[list[Manifest], list[Manifest]],
) -> None:
    found = Difference(*(netpolc.compile(netpolc.load_objects(own)) for own in objects))
    before = State(found.old, [pair.old for pair in found.pairs])
    made = report_document("title", State(found.new, [pair.new for pair in found.pairs]), before)
    for source, here in enumerate(found.pairs):
        for destination, there in enumerate(found.pairs):
            both = (admits(made, side, source, destination) for side in ("before", "after"))
            changed = bool(list(found.between(here, there)))
            assert (len(set(both)) == 2) == changed, (here.name, there.name)
