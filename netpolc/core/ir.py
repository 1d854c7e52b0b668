"""Policy IR: what policies say, in symbols, before any pod is looked at.

Comes in from the frontends, one `Policy` for each object; goes to the passes. A missing field, an
empty one and null mean different things in the APIs: only frontends know that. Here an empty tuple
means nothing and `ANY` means everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Final, Literal
from typing import Protocol as Interface

from msgspec import Struct, structs

from netpolc.core.foreign import in_quotes
from netpolc.core.nets import Protocol, Ranges, Span


class Everything(Enum):
    """The type of `ANY`."""

    ANY = "any"


ANY: Final = Everything.ANY
Any_ = Literal[Everything.ANY]


class Direction(IntEnum):
    """Traffic into the subject or out of it."""

    INGRESS = 0
    EGRESS = 1

    def __str__(self) -> str:
        return self.name.lower()


DIRECTIONS = tuple(Direction)
"""To go through where it is done often: the members of a class are looked up anew each time."""


class Action(IntEnum):
    """What a rule does; NetworkPolicy only ever accepts. PASS leaves it to the next tier."""

    ACCEPT = 0
    DENY = 1
    PASS = 2

    def __str__(self) -> str:
        return self.name.lower()


class Tier(IntEnum):
    """Order of judgement: Admin, then NetworkPolicy, then Baseline, then accept."""

    ADMIN = 0
    NETWORK_POLICY = 1
    BASELINE = 2


class Source(Interface):
    """Where an object was read; looking a line up is slow, so it happens only on demand."""

    def place(self, elements: Sequence[str | int] = (), at_key: bool = False) -> str:
        """`file:line:column` of a field, or of the deepest part of its path that is there."""
        ...

    def excerpt(self, elements: Sequence[str | int] = ()) -> tuple[tuple[int, str], ...]:
        """The numbered lines of a field, from its key on; none where there are none to show."""
        ...


Key = tuple[str, str, str]
"""Kind, namespace (empty where there is none) and name of an object: the identity of a policy."""
_UNNAMED_KINDS = frozenset(("NetworkPolicy", "Namespace", "Pod"))
"""Kinds that are not said before a name; the last two stand for policies where an annotation or a
closed pod isolates."""


class Origin(Struct, frozen=True, eq=False, gc=False):
    """The object and the field that a rule or a policy comes from; kept to the end.

    There is one for each pod: the collector does not visit them, because none leads to itself.
    `called` is the name that its author gave a rule (`name` of a cluster-scoped policy's rule),
    which may hold any character.
    """

    kind: str
    namespace: str
    name: str
    field: tuple[str | int, ...]
    source: Source
    called: str = ""

    @property
    def key(self) -> Key:
        """Which object it is: two kinds may have one name."""
        return self.kind, self.namespace, self.name

    @property
    def path(self) -> str:
        """`namespace/name` of the object, or `name` without a namespace: for where the kind is
        said already.
        """
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    @property
    def policy(self) -> str:
        """The name of the object in whatever is written out: different for different keys.

        `namespace/name` of a NetworkPolicy, `name` of a Namespace, `Kind/name` of all others.
        """
        return self.path if self.kind in _UNNAMED_KINDS else f"{self.kind}/{self.path}"

    @property
    def rule(self) -> str:
        """The rule inside the object, `ingress[0]`; empty for the object as a whole."""
        return _rule(self.field)

    @property
    def name_said(self) -> str:
        """The name that its author gave a rule, as it follows the rule in a text for people.

        It may hold any character: no quote ends it, and whoever writes it out escapes the others
        (`foreign`).
        """
        return f" {in_quotes(self.called)}" if self.called else ""

    @property
    def title(self) -> str:
        """The rule with its name, for people: `Kind/name ingress[0] "web"`."""
        return f"{self}{self.name_said}"

    def place(self) -> str:
        """`file:line:column` of the rule."""
        return self.source.place(self.field)

    def __str__(self) -> str:
        rule = _rule(self.field)
        return f"{self.policy} {rule}" if rule else self.policy


@lru_cache(1 << 12)
def _rule(field: tuple[str | int, ...]) -> str:
    """`ingress[0]`: few are different, and most are said many times."""
    text = ""
    for element in field[1:]:
        text += f"[{element}]" if isinstance(element, int) else f".{element}"
    return text.removeprefix(".")


WAIVER = "netpolc.dev/ignore"
"""The annotation that names, separated by commas, what `netpolc check` shall not say."""
AUDIT = "netpolc.dev/audit"
"""The annotation, `true` or `false`, that says whether a policy is only tried."""
Waived = frozenset[str]
"""Codes of findings that an object's annotation waives."""


class Operator(Enum):
    """Set-based operators of a label selector (apimachinery `LabelSelectorOperator`)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Requirement(Struct, frozen=True, cache_hash=True):
    """One condition on one label; `matchLabels` entries are `In` with a single value."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()


class Selector(Struct, frozen=True, cache_hash=True):
    """All requirements together; none at all selects everything."""

    requirements: frozenset[Requirement] = frozenset()


SELECT_ALL = Selector()


class PodPeer(Struct, frozen=True, cache_hash=True):
    """Pods by labels, in one namespace (by name) or in the namespaces a selector matches."""

    namespaces: str | Selector
    pods: Selector


class NetworkPeer(Struct, frozen=True, gc=False):
    """Addresses of a CIDR block less its exceptions (`ipBlock`), each as first and last address."""

    cidr: Span
    excepts: tuple[Span, ...] = ()

    @property
    def addresses(self) -> Ranges:
        """The block without its exceptions."""
        return Ranges((self.cidr,)) - Ranges.of(self.excepts)


class NodePeer(Struct, frozen=True, cache_hash=True):
    """Nodes by their labels (`nodes`): every address that is known of them."""

    nodes: Selector


class NamePeer(Struct, frozen=True, gc=False):
    """Whoever is behind names of domains (`domainNames`, NPEP-133): nobody, as no name is looked up
    here.
    """

    names: tuple[str, ...]


Peer = PodPeer | NetworkPeer | NodePeer | NamePeer


class PortRange(Struct, frozen=True, gc=False):
    """Destination ports `first`..`last` of one protocol, both included."""

    protocol: Protocol
    first: int
    last: int


class NamedPort(Struct, frozen=True, gc=False):
    """A container port of the destination pod, by name and protocol."""

    protocol: Protocol
    name: str


Port = PortRange | NamedPort


class Rule(Struct, frozen=True, eq=False, gc=False):
    """Traffic in one direction with one of the peers on one of the ports; `ANY` includes ICMP."""

    direction: Direction
    action: Action
    peers: tuple[Peer, ...] | Any_
    ports: tuple[Port, ...] | Any_
    origin: Origin


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """One policy object.

    `isolates` is apart from `rules`: the v1.6 namespace annotation isolates and has no rules, and a
    policy of that age has rules and isolates nothing. `written` are the directions whose rules the
    manifest gives, if only as an empty list and also where it does not isolate; `typed` says
    whether it gives `policyTypes`. Neither has a meaning: they tell what the author had in mind. An
    `audited` policy is tried: it denies and admits nothing, and what it would deny is told.
    """

    tier: Tier
    priority: int
    subject: PodPeer
    isolates: frozenset[Direction]
    rules: tuple[Rule, ...]
    origin: Origin
    written: frozenset[Direction] = frozenset()
    typed: bool = True
    waived: Waived = frozenset()
    audited: bool = False

    @property
    def restricts(self) -> bool:
        """Whether it can deny anything: it isolates, or has a rule that denies."""
        return bool(self.isolates) or any(rule.action is Action.DENY for rule in self.rules)

    def admitting_nothing(self) -> Policy:
        """The policy of which only its subject and directions count, in the strict direction.

        A NetworkPolicy isolates without its rules. In an ordered tier that would leave what it
        denies to others: there it denies everything in each direction for which it has rules.
        """
        if self.tier is Tier.NETWORK_POLICY:
            return replace(self, rules=())
        return replace(self, rules=tuple(map(self.denial, self.directions)))

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Those that it isolates or has rules for."""
        ruled = {rule.direction for rule in self.rules}
        return tuple(way for way in DIRECTIONS if way in ruled or way in self.isolates)

    def denial(self, direction: Direction) -> Rule:
        """A rule that denies everything in a direction, where those that are written cannot be
        read.
        """
        origin = structs.replace(self.origin, field=("spec", str(direction)))
        return Rule(direction, Action.DENY, ANY, ANY, origin)

    @property
    def order(self) -> tuple[Tier, int, str, str, str]:
        """The order of judgement: by tier, then priority, then name."""
        origin = self.origin
        return self.tier, self.priority, origin.namespace, origin.name, origin.kind
