"""A pod that comes or goes is a change of elements: no chain is rewritten and nothing is renamed.

In: snapshots that differ in a few pods, loaded one over the other, in memory and in the kernel.
Out: what each transaction touches, by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel, Update
from netpolc.backends.nft.write.delta import Delta, Fate
from tests.helpers.lab import Router
from tests.helpers.manifests import Manifest, namespace, node, pod, policy
from tests.helpers.places import FakePlace

NODE, ELSEWHERE = "node-a", "node-b"
NODES = [node(NODE, "192.0.2.1"), node(ELSEWHERE, "192.0.2.2")]


@pytest.fixture(params=["memory", pytest.param("kernel", marks=pytest.mark.kernel)])
def kernel(request: pytest.FixtureRequest) -> Iterator[Kernel]:
    if request.param == "memory":
        yield FakePlace().kernel()
    else:
        with Router() as router:
            yield router.call(Kernel)


def update(kernel: Kernel, objects: list[Manifest]) -> Update:
    program = netpolc.compile(netpolc.load_objects([*NODES, *objects]))
    return kernel.update(program.ruleset(NODE))


def deltas(kernel: Kernel, snapshots: Iterable[list[Manifest]]) -> Iterator[Delta]:
    """What is done for each snapshot but the first, as a delta."""
    for number, objects in enumerate(snapshots):
        done = update(kernel, objects)
        kernel.settle(netpolc.compile(netpolc.load_objects([*NODES, *objects])).ruleset(NODE))
        if number:
            assert done.delta is not None
            yield done.delta


def app(name: str) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {"app": name}}}


def replicas(name: str, count: int, third: int, **labels: str) -> list[Manifest]:
    """Pods of an application elsewhere, in both families."""
    return [
        pod(
            f"x/{name}-{n}",
            f"10.0.{third}.{n}",
            f"fd00:{third}::{n}",
            on=ELSEWHERE,
            app=name,
            **labels,
        )
        for n in range(1, count + 1)
    ]


def server(**spec: object) -> list[Manifest]:
    subject = {"matchLabels": {"app": "server"}}
    return [
        namespace("x"),
        pod("x/server", "10.0.0.1", "fd00::1", app="server"),
        policy("x/server", podSelector=subject, policyTypes=["Ingress", "Egress"], **spec),
    ]


def one_port() -> list[Manifest]:
    """Port and peer in one rule."""
    return server(ingress=[{"from": [app("a")], "ports": [{"port": 80}]}])


def every_port() -> list[Manifest]:
    """Of three sets that are looked up one narrows another, whoever there is."""
    narrow = {"podSelector": {"matchLabels": {"app": "a", "tier": "front"}}}
    return server(
        ingress=[{"from": [app("a")]}, {"from": [narrow]}, {"from": [app("b")]}],
        egress=[{"to": [app("a")]}],
    )


def union() -> list[Manifest]:
    """More sets than are looked up one by one, behind a map of ports."""
    ports = [{"port": number} for number in range(1, 40, 2)]
    own = [{"from": [app(name)], "ports": ports} for name in "abcde"]
    return server(ingress=own)


def ports_map() -> list[Manifest]:
    """A map of ports that leads to chains of peers."""
    return server(egress=[{"to": [app("a")], "ports": [{"port": own}]} for own in range(1, 20)])


def names_of_ports() -> list[Manifest]:
    """The ports have names, which all of these pods have with the same numbers."""
    block = {"ipBlock": {"cidr": "10.0.0.0/8"}}
    ports = [{"port": "web"}]
    return server(egress=[{"to": [app("a")], "ports": ports}, {"to": [block], "ports": ports}])


SHAPES = (one_port, every_port, union, ports_map, names_of_ports)


def serving(pods: list[Manifest], number: int = 8080) -> list[Manifest]:
    """The same pods with a port by name."""
    for own in pods:
        port = {"name": "web", "containerPort": number, "protocol": "TCP"}
        own["spec"]["containers"] = [{"name": "c", "image": "i", "ports": [port]}]
    return pods


@pytest.mark.parametrize("shape", SHAPES, ids=lambda own: own.__name__)
def test_from_three_pods_to_one_and_back_no_chain_is_rewritten(
    kernel: Kernel, shape: Callable[[], list[Manifest]]
) -> None:
    counts = (3, 2, 1, 2, 3)
    snapshots = [[*shape(), *serving(replicas("a", count, 1))] for count in counts]
    for found in deltas(kernel, snapshots):
        assert (found.chains, found.objects) == (0, 0)
        # Peers of one question, or where ports have names of a selector and of a block.
        assert 2 <= found.added + found.removed <= (4 if shape is not union else 2)


@pytest.mark.parametrize(
    "shape", [own for own in SHAPES if own is not names_of_ports], ids=lambda own: own.__name__
)
def test_the_last_pod_and_the_first_are_elements_too(
    kernel: Kernel, shape: Callable[[], list[Manifest]]
) -> None:
    snapshots = [[*shape(), *replicas("a", count, 1)] for count in (1, 0, 1)]
    for found in deltas(kernel, snapshots):
        assert (found.chains, found.objects) == (0, 0)
        assert found.added + found.removed == 2


def test_a_number_that_nobody_had_behind_a_name_rewrites_one_chain(kernel: Kernel) -> None:
    """Without a pod nobody knows the number, so there is no rule that could hold it."""
    before = [*names_of_ports(), *serving(replicas("a", 2, 1))]
    after = [*before, *serving(replicas("a", 3, 1)[2:], number=9090)]
    there, back = deltas(kernel, [before, after, before])
    for found in there, back:
        assert [own.name[:2] for own in found.touched if own.fate is Fate.REWRITTEN] == ["e_"]
        # Sets for the selector and, in IPv4, the block; and a chain of peers for each number.
        assert found.objects == 3 + 2
        assert found.added + found.removed == 0


def dns_clients() -> list[Manifest]:
    """Fifty pods of the node, each with a policy of its own that lets it ask the DNS."""
    peers = [
        {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        }
    ]
    ports = [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]
    objects = [namespace("kube-system"), namespace("x")]
    for n in range(50):
        subject = {"matchLabels": {"app": f"app-{n}"}}
        rules = [{"to": peers, "ports": ports}, {"to": [app(f"peer-{n}")]}]
        objects += [
            pod(f"x/app-{n}", f"10.1.0.{n + 1}", f"fd00:1::{n + 1:x}", on=NODE, app=f"app-{n}"),
            policy(f"x/app-{n}", podSelector=subject, policyTypes=["Egress"], egress=rules),
        ]
    return objects


def dns(*numbers: int) -> list[Manifest]:
    labels = {"k8s-app": "kube-dns"}
    return [
        pod(f"kube-system/dns-{n}", f"10.2.0.{n}", f"fd00:2::{n}", on=ELSEWHERE, **labels)
        for n in numbers
    ]


@pytest.mark.parametrize(
    "steps",
    [
        ((1, 2), (1, 3)),  # a replica is replaced
        ((1, 2), (1,), (1, 3)),  # it goes before the other comes
        ((1,), (1, 2), (2,)),  # the only replica is replaced
        ((1,), (), (2,)),
    ],
    ids=str,
)
def test_a_rolling_update_of_the_dns_under_fifty_policies_is_four_elements(
    kernel: Kernel, steps: tuple[tuple[int, ...], ...]
) -> None:
    found = list(deltas(kernel, [[*dns_clients(), *dns(*own)] for own in steps]))
    assert sum(own.chains + own.objects for own in found) == 0
    # An address of each family goes, and one comes.
    assert sum(own.added for own in found) == sum(own.removed for own in found) == 2


def crowd(count: int) -> list[Manifest]:
    return [
        pod(f"x/many-{n}", f"10.3.{n >> 8}.{n & 255}", on=ELSEWHERE, app="a")
        for n in range(1, count + 1)
    ]


def others() -> list[Manifest]:
    """Sixty other chains of the node, which ask for another application."""
    found: list[Manifest] = []
    for n in range(60):
        subject = {"matchLabels": {"app": f"other-{n}"}}
        rules = [{"from": [app("z")], "ports": [{"port": 1 + n}]}]
        found += [
            pod(f"x/other-{n}", f"10.4.0.{n + 1}", app=f"other-{n}"),
            policy(f"x/other-{n}", podSelector=subject, ingress=rules),
        ]
    return found


def test_a_set_that_becomes_a_large_one_rewrites_the_chain_that_asks(kernel: Kernel) -> None:
    """It gets a set of its own, and the union of the others stays and loses its pods."""
    base = [*union(), *others(), *replicas("b", 3, 2)]
    small, large = [*base, *crowd(39)], [*base, *crowd(40)]
    there, back = deltas(kernel, [small, large, small])
    for found in there, back:
        assert found.chains == 1
        assert [own.name[:2] for own in found.touched if own.kind == "chain"] == ["p_"]
        # The set of its own in both families, and the union, which has another size now.
        assert found.objects == 3
        assert found.added + found.removed == 0


def halves(bit: int, value: int) -> dict[str, Any]:
    return {"podSelector": {"matchLabels": {f"bit{bit}": str(value)}}}


def overlapping() -> list[Manifest]:
    """A pod that twelve halves of the others may reach on a port of each: a map by source."""
    rules = [
        {"from": [halves(bit, value)], "ports": [{"port": 100 * ((bit + value) % 3 + 1)}]}
        for bit in range(6)
        for value in (0, 1)
    ]
    peers = [
        pod(
            f"x/peer-{n}",
            f"10.5.0.{n + 1}",
            on=ELSEWHERE,
            **{f"bit{b}": str(n >> b & 1) for b in range(6)},
        )
        for n in range(128)
    ]
    return [*server(ingress=rules), *peers]


def asking(count: int) -> list[Manifest]:
    """Chains of other pods of the node that ask for the same halves."""
    found: list[Manifest] = []
    for n in range(count):
        subject = {"matchLabels": {"app": f"asking-{n}"}}
        rules = [
            {"from": [halves(bit, value)], "ports": [{"port": 1000 + 100 * n + 10 * bit + value}]}
            for bit in range(6)
            for value in (0, 1)
        ]
        found += [
            pod(f"x/asking-{n}", f"10.6.0.{n + 1}", app=f"asking-{n}"),
            policy(f"x/asking-{n}", podSelector=subject, ingress=rules),
        ]
    return found


def maps(delta: Delta) -> list[tuple[str, str]]:
    return [(own.name[:3], own.fate.value) for own in delta.touched if own.name[0] == "a"]


def test_a_question_that_more_chains_ask_rewrites_those_whose_layout_flips(kernel: Kernel) -> None:
    """A map by source gives way to sets once others load these anyway, and comes back."""
    ballast = [*overlapping(), *others()]
    steps = [[*ballast, *asking(count)] for count in (0, 5, 6, 5, 0)]
    into, stays, also, back = deltas(kernel, steps)
    assert maps(into) == [("a4_", "deleted"), ("a6_", "deleted")]
    assert maps(back) == [("a4_", "made"), ("a6_", "made")]
    for found in into, back:
        rewritten = [own.name for own in found.touched if own.fate is Fate.REWRITTEN]
        assert [own[:2] for own in rewritten] == ["i_"]
    for found in stays, also:
        assert maps(found) == []
        assert found.chains == 0


def test_what_others_are_and_ask_renames_nothing() -> None:
    """A namespace that is sorted before all others, with pods and policies of its own."""
    base = [*union(), *ports_map()[2:], *serving(replicas("a", 3, 1))]
    base[-4]["metadata"]["name"] = "second"
    new = [
        namespace("aaa"),
        *(pod(f"aaa/{n}", f"10.7.0.{n + 1}", on=ELSEWHERE, app=own) for n, own in enumerate("abc")),
        policy("aaa/all", podSelector={}, ingress=[{"from": [app("a")], "ports": [{"port": 1}]}]),
    ]
    texts = [
        netpolc.compile(netpolc.load_objects([*NODES, *own])).ruleset(NODE).text()
        for own in (base, [*base, *new])
    ]
    assert texts[0] == texts[1]
