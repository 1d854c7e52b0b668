"""What rules ask of ports: the numbers behind names, which pods have and policies do not.

Comes in: rules, and the named ports of pods. Goes out: names that are asked for, and spans of the
port line. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from netpolc.core.cluster import ContainerPorts
from netpolc.core.ir import ANY, Any_, Direction, NamedPort, Port, PortRange, Rule
from netpolc.core.nets import Ranges, Span, ports

Names = tuple[NamedPort, ...]


def asked_names(asked: tuple[Port, ...] | Any_) -> Names:
    """The names among the ports that a rule asks for."""
    return () if asked is ANY else tuple([own for own in asked if isinstance(own, NamedPort)])


class PortList:
    """A list of named ports, kept so that its id stays its own; equal answers are one object."""

    def __init__(self, own: ContainerPorts) -> None:
        self._own = own
        self._known: dict[tuple[Port, ...], Ranges] = {}
        self._numbers: dict[tuple[str, int], list[int]] = {}
        for name, protocol, number in own:
            self._numbers.setdefault((name, protocol), []).append(number)

    def ranges(self, wanted: tuple[Port, ...]) -> Ranges:
        """What is behind ports that a rule asks for."""
        known = self._known.get(wanted)
        if known is None:
            known = self._known[wanted] = Ranges.of(self._spans(wanted))
        return known

    def _spans(self, wanted: Iterable[Port]) -> Iterator[Span]:
        for port in wanted:
            match port:
                case PortRange(protocol, first, last):
                    yield ports(protocol, first, last)
                case NamedPort(protocol, name):
                    for number in self._numbers.get((name, protocol), ()):
                        yield ports(protocol, number, number)
                case _:
                    assert_never(port)


def numbers_behind(names: Names, own: ContainerPorts) -> Ranges:
    """What is behind some names of ports on a pod with these named ports."""
    return PortList(own).ranges(names)


def has_named_ports(rules: Iterable[Rule]) -> bool:
    """Whether the rules mean other numbers on other subjects: named ports in ingress."""
    return any(rule.direction is Direction.INGRESS and asked_names(rule.ports) for rule in rules)
