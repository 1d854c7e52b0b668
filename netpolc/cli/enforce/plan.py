"""What `apply --plan` says: what would change, for people, before anything does.

Comes in: what is loaded, what would be, and the transaction between the two. Goes out: lines with
their colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netpolc.analysis.connectivity.planned import Enforced, Isolation, Planned, PlannedChanges
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.backends.nft import Ruleset
from netpolc.backends.nft.names import AUDIT, DROP, PENDING, POD_BRIDGES, TIERS, UNKNOWN
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.listing import Listing, Verdict
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.state.loaded import Foreign
from netpolc.backends.nft.rollout.steps import UpdateStep
from netpolc.backends.nft.write.delta import Fate
from netpolc.cli.terminal import say
from netpolc.core.errors import RulesetError, counted
from netpolc.core.ir import Direction
from netpolc.core.nets import format_address
from netpolc.core.program import Program

Line = tuple[str, str]
"""Text, and its colour on a terminal."""
_TOWARDS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
_FATES = {
    Fate.MADE: "judged from now on",
    Fate.DELETED: "judged no more",
    Fate.REWRITTEN: "judged by other rules",
}
"""What it means for packets that a chain is touched."""
_MANY = 4
"""Connections that are told together if they fare alike."""
_SHOWN = 8
"""Peers or elements of one object that are told; of more, how many there are."""


def show_plan(kernel: Kernel, program: Program, ruleset: Ruleset, what: str) -> bool:
    """Say what `apply` would do; whether it would change anything."""
    step = kernel.preview(ruleset)
    if step.delta is not None and not step.delta:
        notes = list(_notes(step))
        say(f"{'no rule' if notes else 'nothing'} to change in {what}")
        for line, colour in notes:
            say(line, colour)
        return bool(notes)
    say(f"plan for {what}", "bold")
    connections = _connections(kernel, program, ruleset)
    for line, colour in (*connections, *_bridges(step), *_transaction(step), *_notes(step)):
        say(line, colour)
    return True


def _connections(kernel: Kernel, program: Program, ruleset: Ruleset) -> Iterator[Line]:
    """What opens and closes, unless the table that is loaded cannot be understood."""
    table = ruleset.options.table
    try:
        loaded = kernel.facts.loaded(table)
        listing = kernel.tables.walked(table) if loaded is not None else None
        drops = loaded.drops if loaded is not None else ()
        before = _enforced(listing, {own.chain: own.policies for own in drops})
        after = _enforced(parse_text.parse(ruleset.text()), _policies(ruleset))
        yield from _lines(PlannedChanges(before, after, program))
    except (RulesetError, Foreign) as error:
        yield f"connections: unknown, for what is loaded is not netpolc's: {error}", "bold red"


def _enforced(listing: Listing | None, denying: dict[str, str]) -> Enforced:
    """What a table admits, and by chain its policies: those of ordered tiers stand in the comments
    of the rules that jump to them.
    """
    found: dict[str, str] = {}
    for name, rules in listing.chains.items() if listing is not None else ():
        outcomes = ((rule, rule.outcome) for rule in rules if not rule.tests)
        asked = [
            rule.comment
            for rule, own in outcomes
            if isinstance(own, Verdict) and own.chain.startswith(TIERS)
        ]
        if asked:
            found[name] = ", ".join((*asked, *filter(None, (denying.get(name),))))
    return Enforced.by(listing, denying | found)


def _policies(ruleset: Ruleset) -> dict[str, str]:
    """The policies that isolate, by chain."""
    return {
        own.name.removeprefix(kind): own.comment
        for own in ruleset.table.counters
        for kind in (DROP, AUDIT)
        if own.name.startswith(kind)
    }


def _lines(plan: PlannedChanges) -> Iterator[Line]:
    """Isolation that begins or ends, then connections that open, close or change."""
    isolations, changes = plan.isolations(), plan.connections()
    for isolation in isolations:
        yield from _isolation(isolation)
    for source, destination, change in _grouped(changes):
        yield from _change(source, destination, change)
    began = sum(own.begins for own in isolations)
    opened, closed = (sum(not getattr(own, side) for own in changes) for side in ("old", "new"))
    yield (
        (
            f"isolation: begins for {counted(began, 'group')} of pods, "
            f"ends for {len(isolations) - began}; connections: {opened} opened, {closed} closed, "
            f"{len(changes) - opened - closed} changed"
        ),
        "bold",
    )


def _isolation(own: Isolation) -> Iterator[Line]:
    pods = _few(own.pods)
    if not own.begins:
        yield f"+ {own.direction} of {pods}: all", "green"
        yield f"      no policy isolates it any more; was isolated by {own.policies}", ""
        return
    yield f"- {own.direction} of {pods}: all => what its policies admit", "red"
    yield f"      isolated by {own.policies}", ""
    for ports, peers in own.admitted:
        yield f"      admits {describe_ports(ports)} {_TOWARDS[own.direction]} {_few(peers)}", ""


def _grouped(changes: Iterable[Planned]) -> Iterator[tuple[str, str, Planned]]:
    """Many changes of the same ports at one end as one, with the first for all."""
    by_destination: dict[object, list[Planned]] = {}
    by_source: dict[object, list[Planned]] = {}
    for own in changes:
        ports = own.old, own.new, own.only
        by_destination.setdefault((own.destination, *ports), []).append(own)
    for some in by_destination.values():
        if len(some) >= _MANY:
            yield _few(own.source for own in some), some[0].destination, some[0]
            continue
        for own in some:
            by_source.setdefault((own.source, own.old, own.new, own.only), []).append(own)
    for some in by_source.values():
        if len(some) >= _MANY:
            yield some[0].source, _few(own.destination for own in some), some[0]
            continue
        for own in some:
            yield own.source, own.destination, own


def _change(source: str, destination: str, own: Planned) -> Iterator[Line]:
    sign, colour = ("~", "yellow") if own.old and own.new else ("+", "green")
    sign, colour = (sign, colour) if own.new else ("-", "red")
    ports = " => ".join(describe_ports(ports) for ports in (own.old, own.new) if ports)
    only = f" (IPv{own.only})" if own.only is not None else ""
    yield f"{sign} {source} -> {destination}: {ports}{only}", colour
    for why in own.why:
        yield f"      {why}", ""


def _bridges(step: UpdateStep) -> Iterator[Line]:
    """What becomes of pods by addresses that no snapshot has; of a replacement it is not told."""
    touched = step.delta.touched if step.delta is not None else ()
    chains = {own.name: own.fate for own in touched if own.kind == "chain"}
    for direction, chain in UNKNOWN.items():
        said = _FATES.get(chains[chain]) if chain in chains else None
        if said is not None:
            yield f"~ {direction} of what bridges carry by addresses of no pod: {said}", "yellow"
    for direction, chain in PENDING.items():
        said = _FATES.get(chains[chain]) if chain in chains else None
        if said is not None:
            yield f"~ {direction} of addresses that no pod has yet (--pending): {said}", "yellow"
    if any(own.name == POD_BRIDGES for own in touched):
        yield "~ bridges of pods (--pod-bridges): others", "yellow"


def _notes(step: UpdateStep) -> Iterator[Line]:
    """What becomes of addresses that have other pods than the table notes, or none."""
    moved = step.ruleset.owners.moved(step.before or {})
    if moved:
        yield (
            f"flows to forget, of pods that are gone: {_few(map(format_address, moved))}",
            "yellow",
        )
    if step.notes or moved:
        yield "notes: which pods have which addresses", ""


def _transaction(step: UpdateStep) -> Iterator[Line]:
    """The objects that are touched; of a replacement why it is one."""
    if step.delta is None:
        yield f"transaction: {step.why}, in {counted(step.lines, 'line')}", "bold"
        return
    yield f"transaction: {step.delta}", "bold"
    for own in (own for own in step.delta.touched if own.kind != "counter"):
        yield f"  {own.kind} {own.name}: {own.fate}", ""
        for sign, elements in (("+", own.added), ("-", own.removed)):
            if elements:
                yield f"      {sign} {_few(elements)}", ""


def _few(names: Iterable[str]) -> str:
    every = tuple(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
