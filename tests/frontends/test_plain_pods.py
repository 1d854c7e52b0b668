"""Pods that hold nothing odd are read at once by the extension, all others one by one: whichever
reads them, they come to the same, and so do messages.
"""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.core.cluster import Pod
from netpolc.core.errors import InputError
from netpolc.frontends.cluster import pods
from netpolc.frontends.fields import is_subdomain
from netpolc.manifests import File

pytest.importorskip("netpolc.frontends.cluster._pods", reason="the extension is not built")

POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "all", "namespace": "a"},
    "spec": {"podSelector": {}},
}
NAMES = ("web-0", "db", "a.b", "-web", "web-", "a..b", "", None, "Web", "w" * 254, "ä")
LABELS: tuple[Any, ...] = (
    {"app": "web"},
    {"app": "db", "x/y": ""},
    {},
    None,
    {"app": "no value"},
    {"-": "x"},
)
OWNERS: tuple[Any, ...] = (
    None,
    [],
    [{"kind": "ReplicaSet", "name": "web-1", "controller": True}],
    [{"kind": "ReplicaSet", "name": "web-1"}],
    [{"kind": "Node", "name": "n1", "controller": True}],
    [{"kind": "Job", "name": "j"}, {"kind": "ReplicaSet", "name": "r", "controller": True}],
    [{"name": "nobody"}],
)
ADDRESSES: tuple[Any, ...] = (
    {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]},
    {"podIP": "10.0.0.2"},
    {"podIPs": [{"ip": "10.0.0.03"}]},
    {"podIPs": [{"ip": "::ffff:10.0.0.4"}]},
    {"podIPs": [{}], "podIP": "10.0.0.9"},
    {"podIPs": [], "podIP": ""},
    {"podIP": "none"},
    {},
)
HOSTS: tuple[Any, ...] = (
    {"hostIP": "192.168.0.1"},
    {"hostIPs": [{"ip": "192.168.0.1"}]},
    {"hostIP": "x"},
    {},
)
PORTS: tuple[Any, ...] = (
    [{"ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}]}],
    [{"ports": [{"name": "http", "containerPort": 0}]}],
    [{"ports": [{"name": "http", "containerPort": 80, "protocol": "ICMP"}]}],
    [{}, {"ports": []}],
    [],
    None,
)
SIDECARS = (
    None,
    [{"restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 9}]}],
    [{"ports": [{"name": "init", "containerPort": 9}]}],
)
NOISE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('"\\[]{}:, aä\n', max_size=70),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)
"""What other programs write into a pod: nothing of it may pass for a field or an end of one."""
some = st.sampled_from


@st.composite
def pod(draw: st.DrawFn) -> dict[str, Any]:
    """A pod, most of whose fields are as API servers have them."""

    def one(choices: tuple[Any, ...]) -> Any:
        return choices[0] if draw(st.integers(0, 3)) else draw(some(choices))

    metadata = {
        "name": draw(some(NAMES[:3])) if draw(st.integers(0, 3)) else draw(some(NAMES)),
        "namespace": one(("a", "b", "", None, "A")),
        "labels": draw(some(LABELS[:3])) if draw(st.integers(0, 3)) else draw(some(LABELS)),
        "uid": one(("u1", None)),
        "ownerReferences": draw(some(OWNERS)),
        "annotations": one((None, {"x": "y"}, {"netpolc.dev/ignore": "NP102"})),
    }
    spec = {
        "nodeName": one(("n1", "", None, "N")),
        "hostNetwork": one((None, False, True)),
        "containers": draw(some(PORTS)),
        "initContainers": draw(some(SIDECARS)),
    }
    status = {"phase": one(("Running", None, "Succeeded", "Failed"))}
    status |= draw(some(ADDRESSES[:2])) if draw(st.integers(0, 3)) else draw(some(ADDRESSES))
    status |= one(HOSTS)
    for part in metadata, spec, status:
        if not draw(st.integers(0, 2)):
            part[draw(some(("managedFields", "x", "ip", "conditions")))] = draw(NOISE)
    found = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return found if not draw(st.integers(0, 15)) else {**found, "status": status}


def written(value: object, draw: st.DataObject, odd: int) -> str:
    """A value in JSON: one in `odd` objects and keys is in an unusual order, twice, or escaped."""

    def one() -> bool:
        return odd > 0 and draw.draw(st.integers(1, odd)) == odd

    space = "\n\t " if one() else ""
    if isinstance(value, list):
        return f"[{','.join(space + written(own, draw, odd) for own in value)}{space}]"
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=one())
    pairs = list(value.items())
    if one():
        pairs = draw.draw(st.permutations(pairs))
    if pairs and one():
        pairs.append((pairs[0][0], pairs[-1][1]))
    members = []
    for key, own in pairs:
        name = json.dumps(key)
        if key.isalpha() and one():
            name = f'"\\u{ord(key[0]):04x}{key[1:]}"'
        members.append(f"{space}{name}{space}:{written(own, draw, odd)}")
    return f"{{{','.join(members)}{space}}}"


def read(data: bytes, odd_objects: str) -> object:
    """What there is to see of a snapshot, or what is said against it."""
    try:
        found = netpolc.load([File("pods.json", data)], odd_objects=odd_objects)
    except InputError as refused:
        return list(map(str, refused.diagnostics))
    several = [
        [getattr(own, name) for name in Pod.__struct_fields__ if name != "origin"]
        for own in found.cluster.pods
    ]
    origins = [(own.origin.key, own.origin.place()) for own in found.cluster.pods]
    return several, origins, found.cluster.owners, found.odd, list(map(str, found.warnings))


@given(several=st.lists(pod(), min_size=1, max_size=6), odd=some(("refuse", "isolate")))
def test_both_read_pods_alike(several: list[dict[str, Any]], odd: str) -> None:
    assert_alike({"apiVersion": "v1", "kind": "List", "items": [*several, POLICY]}, odd)


@given(draw=st.data(), several=st.lists(pod(), min_size=1, max_size=3), odd=some((3, 20)))
def test_both_read_pods_alike_however_they_are_written(
    draw: st.DataObject, several: list[dict[str, Any]], odd: int
) -> None:
    """Keys that stand twice, escapes, other orders, spaces, whatever else is in the objects."""
    items = ",".join([*(written(own, draw, odd) for own in several), json.dumps(POLICY)])
    assert_alike(f'{{"apiVersion":"v1","kind":"List","items":[{items}]}}', "refuse")


def assert_alike(whole: object, odd: str) -> None:
    data = (whole if isinstance(whole, str) else json.dumps(whole)).encode()
    at_once = read(data, odd)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("netpolc.frontends.cluster.pods.PlainPods", None)
        patch.setattr("netpolc.frontends.cluster.pods.scan", None)
        assert read(data, odd) == at_once


def test_pods_of_a_cluster_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second pod of a node and namespace is as usual as can be."""
    items = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"web-{number}", "namespace": "a", "labels": {"app": "web"}},
            "spec": {"nodeName": "n1", "containers": [{}]},
            "status": {"phase": "Running", "podIP": f"10.0.0.{number}", "hostIP": "192.168.0.1"},
        }
        for number in (1, 2)
    ]
    asked: list[str] = []
    read_one = pods.Pods.read

    def noting(self: pods.Pods, document: Any, problems: Any) -> Any:
        asked.append(document.source.place())
        return read_one(self, document, problems)

    monkeypatch.setattr(pods.Pods, "read", noting)
    data = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*items, POLICY]}).encode()
    found = netpolc.load([File("pods.json", data)])
    assert len(asked) == 1
    assert [(own.name, own.addresses, own.labels) for own in found.cluster.pods] == [
        ("web-1", (0x0A000001,), {"app": "web"}),
        ("web-2", (0x0A000002,), {"app": "web"}),
    ]


def test_names_are_judged_alike() -> None:
    """The extension has its own loop over a name: the pattern in `fields.py` is the rule."""
    draw = random.Random(5)
    alphabet = "ab0-." + string.ascii_uppercase[:1] + "ä"
    base = {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {"nodeName": "", "containers": []},
        "status": {"phase": "Running"},
    }
    for _ in range(300):
        name = "".join(draw.choice(alphabet[:5] if draw.random() < 0.9 else alphabet)
                       for _ in range(draw.randint(1, 7)))  # fmt: skip
        first = {**base, "metadata": {"name": "first", "namespace": "a"}}
        own = {**base, "metadata": {"name": name, "namespace": "a"}}
        data = json.dumps({"apiVersion": "v1", "kind": "List", "items": [first, own, POLICY]})
        try:
            netpolc.load([File("pods.json", data.encode())])
            good = True
        except InputError:
            good = False
        assert good is is_subdomain(name), name


def pods_like(*several: dict[str, Any]) -> bytes:
    """Pods of one node; the first is never read at once, the others are if nothing is odd."""
    items = []
    for number, own in enumerate(several):
        found = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"p{number}", "namespace": "a"},
            "spec": {"nodeName": "n1", "containers": [], **own.get("spec", {})},
            "status": {"phase": "Running", **own.get("status", {})},
        }
        items.append(found)
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*items, POLICY]}).encode()


def test_an_empty_list_of_host_addresses_says_nothing_about_the_single_one() -> None:
    """A pod may not have the node of the pod before it."""
    hosts = [{"status": {"hostIP": f"192.168.0.{own}", "hostIPs": []}} for own in (1, 2, 1, 2)]
    found = netpolc.load([File("pods.json", pods_like(*hosts))])
    assert [own.host_addresses for own in found.cluster.pods] == [
        (0xC0A80001,),
        (0xC0A80002,),
        (0xC0A80001,),
        (0xC0A80002,),
    ]


@pytest.mark.parametrize("ports", [5, {}, [None], [{"containerPort": "x"}], [{"name": 1}]])
def test_mistyped_ports_of_containers_that_end_are_refused(ports: object) -> None:
    """No policy depends on them, but API servers refuse such a pod."""
    wrong = {"spec": {"initContainers": [{"ports": ports}]}}
    with pytest.raises(InputError) as refused:
        netpolc.load([File("pods.json", pods_like({}, {}, wrong))])
    (one,) = refused.value.diagnostics
    assert one.path.startswith("spec.initContainers[0].ports")


def test_ports_of_containers_that_end_are_none_of_the_pod() -> None:
    several = [{"name": "early", "containerPort": 9}]
    ending, going_on = ({"ports": several}, {"ports": several, "restartPolicy": "Always"})
    both = [{"spec": {"initContainers": [own]}} for own in (ending, ending, going_on, ending)]
    found = netpolc.load([File("pods.json", pods_like({}, *both))])
    named = (("early", 6, 9),)
    assert [own.ports for own in found.cluster.pods] == [(), (), (), named, ()]


@pytest.mark.parametrize("last", ["[]", "[{}]", "null", '"x"'])
def test_a_key_that_stands_twice_and_is_mistyped_once_is_refused(last: str) -> None:
    """The place of what is wrong cannot be followed: the last of the two is another value."""
    wrong = '[{"ports":[{"containerPort":"x"}]}]'
    spec = f'{{"containers":{wrong},"containers":{last}}}'
    text = f'{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"a"}},"spec":{spec}}}'
    with pytest.raises(InputError) as refused:
        netpolc.load([File("pod.json", text.encode())])
    (one,) = refused.value.diagnostics
    assert one.path.startswith("spec.containers")
    assert "Expected" in one.message
