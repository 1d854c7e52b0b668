"""Counts over all pods that decide whether one can come or go without a look at the others.

Comes in: pods, nodes and policies, as their objects say. Goes out: whose an address is, and whether
a change of one pod changes more than that pod: an address that several claim, a node that is known
by its pods alone, a bound of some policy (`passes/bound.py`). Nothing is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from netpolc.core.cluster import ContainerPorts, Node, Pod
from netpolc.core.ir import Direction, Key, NamedPort, Policy
from netpolc.passes.bound import MAX_PODS, MAX_RULES
from netpolc.passes.identify import pod_peers
from netpolc.passes.resolve import MOST_PAIRS

_T = TypeVar("_T")


class Tally:
    """What is counted; `addresses` are some of a node, whatever its object lists."""

    def __init__(self, addresses: Iterable[int] = ()) -> None:
        self.pods = 0
        self.spaces: Counter[str] = Counter()
        """Pods by their namespace."""
        self._claims: dict[int, Pod | tuple[Pod, ...]] = {}
        self._settled: dict[int, Pod] = {}
        self._hosting: Counter[tuple[str, int]] = Counter()
        self._on: Counter[str] = Counter()
        self._of_nodes: Counter[int] = Counter(addresses)
        self._nodes: dict[str, Node] = {}
        self._port_lists: Counter[ContainerPorts] = Counter()
        self._large: dict[Key, tuple[int, int, int, int]] = {}
        self._most: tuple[int, ...] | None = None

    def pod_at(self, address: int) -> Pod | None:
        """The pod that has an address: of several that show it the one that was settled on, or one
        of them before that.
        """
        found = self._claims.get(address)
        return self._settled.get(address, found[0]) if isinstance(found, tuple) else found

    @property
    def any_address(self) -> bool:
        """Whether some pod has an address of its own."""
        return bool(self._claims)

    def settle(self, pods: Iterable[Pod]) -> None:
        """Know whose the addresses are that several show, by the pods of a snapshot."""
        several = {own for own, found in self._claims.items() if isinstance(found, tuple)}
        own = (pod for pod in pods if not pod.host_network) if several else ()
        self._settled = {at: pod for pod in own for at in pod.addresses if at in several}

    def add(self, pod: Pod) -> bool:
        """Count a pod; whether it changes something of others."""
        self.pods += 1
        self.spaces[pod.namespace] += 1
        self._port_lists[pod.ports] += 1
        more = self._host(pod, 1)
        if pod.host_network:
            return self._is_claimed(pod.addresses) or more
        for address in dict.fromkeys(pod.addresses):
            known = self._claims.get(address)
            if known is None:
                self._claims[address] = pod
            else:
                self._claims[address] = (*(known if isinstance(known, tuple) else (known,)), pod)
        return self._is_contested(pod.addresses) or more

    def remove(self, pod: Pod) -> bool:
        """Count a pod no longer; whether that changes something of others."""
        less = self._host(pod, -1)
        self.pods -= 1
        _take(self.spaces, pod.namespace)
        _take(self._port_lists, pod.ports)
        if pod.host_network:
            return self._is_claimed(pod.addresses) or less
        contested = self._is_contested(pod.addresses)
        for address in dict.fromkeys(pod.addresses):
            known = self._claims[address]
            left = tuple(own for own in known if own is not pod) if isinstance(known, tuple) else ()
            if left:
                self._claims[address] = left[0] if len(left) == 1 else left
            else:
                del self._claims[address]
        return contested or less

    def swap(self, old: Pod, new: Pod) -> None:
        """Another version of a pod of which all that is counted is the same."""
        for address in () if old.host_network else dict.fromkeys(old.addresses):
            known = self._claims[address]
            several = known if isinstance(known, tuple) else (known,)
            left = tuple(new if own is old else own for own in several)
            self._claims[address] = left if isinstance(known, tuple) else new

    def is_contested(self, pod: Pod) -> bool:
        """Whether another pod has one of its addresses, or a node has that is not its own."""
        if pod.host_network:
            return self._is_claimed(pod.addresses)
        return self._is_contested(pod.addresses)

    def node(self, before: Node | None, after: Node | None) -> None:
        """Count a node, or another version of it."""
        for own, step in ((before, -1), (after, 1)):
            for address in own.addresses if own is not None else ():
                _take(self._of_nodes, address, step)
        if before is not None:
            self._nodes.pop(before.name, None)
        if after is not None:
            self._nodes[after.name] = after

    def know(self, before: Iterable[int], after: Iterable[int]) -> None:
        """Count other addresses of the node that no object lists than before."""
        for several, step in ((before, -1), (after, 1)):
            for address in several:
                _take(self._of_nodes, address, step)

    def policy(self, key: Key, policy: Policy | None) -> None:
        """Count a policy, or another version of it."""
        self._large.pop(key, None)
        self._most = None
        if policy is not None:
            named = [rule for rule in policy.rules if _names_ports(rule.ports)]
            egress = sum(rule.direction is Direction.EGRESS for rule in named)
            peers = len(dict.fromkeys(pod_peers(policy)))
            self._large[key] = peers, len(named), len(policy.rules), egress

    @property
    def near_a_bound(self) -> bool:
        """Whether one more pod could make some policy too large, or have it resolved otherwise;
        sometimes said where none could.
        """
        if self._most is None:
            self._most = tuple(map(max, zip((0, 0, 0, 0), *self._large.values(), strict=True)))
        peers, named, rules, egress = self._most
        lists = len(self._port_lists) + 1
        return (
            peers * (self.pods + 1) > MAX_PODS
            or rules + named * lists > MAX_RULES
            or egress * lists > MOST_PAIRS
        )

    def _host(self, pod: Pod, step: int) -> bool:
        """Count what a pod says of its node; whether that makes another node of it."""
        if not pod.node:
            return False
        node = self._nodes.get(pod.node)
        changed = _take(self._on, pod.node, step) and node is None
        listed = node.addresses if node is not None else ()
        own = pod.addresses if pod.host_network else ()
        for address in {*pod.host_addresses, *own}:
            _take(self._of_nodes, address, step)
            if _take(self._hosting, (pod.node, address), step) and address not in listed:
                changed = True
        return changed

    def _is_claimed(self, addresses: tuple[int, ...]) -> bool:
        return any(address in self._claims for address in addresses)

    def _is_contested(self, addresses: tuple[int, ...]) -> bool:
        claims, nodes = self._claims, self._of_nodes
        return any(
            address in nodes or not isinstance(claims.get(address), Pod) for address in addresses
        )


def _names_ports(ports: object) -> bool:
    return isinstance(ports, tuple) and any(isinstance(own, NamedPort) for own in ports)


def _take(counter: Counter[_T], key: _T, step: int = -1) -> bool:
    """Count one more or less; whether the first came or the last went."""
    before = counter[key]
    if before + step == 0:
        del counter[key]
        return True
    counter[key] = before + step
    return before == 0
