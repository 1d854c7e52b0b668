"""What pods that do not exist yet could reach, and be reached by.

Comes in: the compiled snapshot of `with_newcomers`, and those. Goes out: their connections with
everything that exists; those among themselves are not asked for. Newcomers that have the very
connections of a more general one add nothing and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from msgspec import structs

from netpolc.analysis.connectivity.candidates import Candidates
from netpolc.analysis.connectivity.newcomers import ANY_NAMESPACE, ANY_POD
from netpolc.analysis.connectivity.parties import Grouping, Party, families_of
from netpolc.analysis.connectivity.reach import Reach
from netpolc.analysis.connectivity.table import Connection, Table
from netpolc.core.cluster import Pod
from netpolc.core.nets import Ranges
from netpolc.core.program import Program

Report = Callable[[int, int], None]
Key = frozenset[tuple[bool, Party, tuple[int, ...], Ranges]]


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """Everything that exists, the newcomers that add something, and the connections between them.

    They come newcomer by newcomer, those out of it before those into it. `reach` found them.
    """

    reach: Reach
    existing: list[Party]
    newcomers: list[Party]
    connections: list[Connection]

    @property
    def parties(self) -> list[Party]:
        """What exists, then newcomers."""
        return [*self.existing, *self.newcomers]


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Newcomers that no policy tells apart: one of them, and its connections."""

    party: Party
    out: list[Connection] = field(default_factory=list)
    into: list[Connection] = field(default_factory=list)

    def key(self) -> Key:
        """Equal for kinds that have the same connections."""
        return frozenset(
            [(True, found.destination, found.families, found.ports) for found in self.out]
            + [(False, found.source, found.families, found.ports) for found in self.into]
        )

    def of(self, party: Party) -> Iterator[Connection]:
        """The connections of another one of the kind."""
        yield from (replace(found, source=party) for found in self.out)
        yield from (replace(found, destination=party) for found in self.into)


def expose(
    program: Program,
    pods: Sequence[Pod],
    grouping: Grouping = Grouping.WORKLOAD,
    report: Report = lambda done, total: None,
) -> Exposure:
    """Ask for the connections of newcomers; `report` is told how many parties are done."""
    table = Table(_without(program, set(pods)), grouping)
    families = families_of(table.reach.program)
    kinds: dict[int, _Kind] = {}
    parties = {}
    for pod in pods:
        identity = program.identity_of[pod.key]
        places = {version: table.reach.places.somewhere(identity, version) for version in families}
        parties[pod] = Party(pod.key, pod.namespace, (pod,), places)
        kinds.setdefault(identity, _Kind(parties[pod]))
    _connect(table, list(kinds.values()), report)
    keys = {identity: kind.key() for identity, kind in kinds.items()}
    kept = _kept({pod: keys[program.identity_of[pod.key]] for pod in pods})
    connections = [
        found for pod in kept for found in kinds[program.identity_of[pod.key]].of(parties[pod])
    ]
    return Exposure(table.reach, table.parties, [parties[pod] for pod in kept], connections)


def _without(program: Program, pods: set[Pod]) -> Program:
    """What exists, judged by the identities of the whole."""
    return replace(
        program,
        identities=tuple(
            structs.replace(own, pods=tuple(pod for pod in own.pods if pod not in pods))
            for own in program.identities
        ),
    )


def _connect(table: Table, kinds: Sequence[_Kind], report: Report) -> None:
    """Fill in the connections between what exists and each kind."""
    existing = table.parties
    parties = [*existing, *(kind.party for kind in kinds)]
    candidates = Candidates(table.reach, parties)
    old = (1 << len(existing)) - 1
    for number, source in enumerate(parties):
        report(number, len(parties))
        is_new = number >= len(existing)
        for other in candidates.destinations(number, old if is_new else ~old):
            kind = kinds[(number if is_new else other) - len(existing)]
            found = kind.out if is_new else kind.into
            found.extend(table.between(source, parties[other]))


def _kept(keys: Mapping[Pod, Key]) -> list[Pod]:
    """Newcomers that differ from `[any pod]` of their namespace.

    A new namespace all of whose pods are as those of `[any new namespace]` is left out as a whole.
    """
    spaces: dict[str, dict[str, Pod]] = {}
    for pod in keys:
        spaces.setdefault(pod.namespace, {})[pod.name] = pod
    general = spaces[ANY_NAMESPACE]

    def key(space: dict[str, Pod], name: str) -> Key:
        return keys[space.get(name, space[ANY_POD])]

    kept = []
    for name, space in spaces.items():
        is_new = name.startswith("[") and space is not general
        if is_new and all(key(space, own) == key(general, own) for own in {*space, *general}):
            continue
        kept += [
            pod for pod in space.values() if pod.name == ANY_POD or keys[pod] != key(space, ANY_POD)
        ]
    return kept
