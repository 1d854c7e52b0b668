"""Rules of cluster-scoped policies with fields that nobody knows, and rules written alike.

In: manifests, read with `--no-strict`. Out: what the rules come to, what is told and how often.
"""

from __future__ import annotations

import pytest

import netpolc
from netpolc.core.ir import ANY, Action
from tests.frontends.test_cluster_policies import ALL, Manifest, cnp, out, read, rule

NARROW: Manifest = {"ports": [{"portNumber": {"protocol": "TCP", "port": 80}}]}


@pytest.mark.parametrize(
    ("peer", "more"),
    [
        (ALL, NARROW),
        (ALL, {"protocols": [{"tcp": {"destinationPort": {"number": 80}, "endPort": 90}}]}),
        ({"namespaces": {"matchLabel": {"team": "ops"}}}, {}),
        ({"pods": {"namespaceSelector": {}, "podSelector": {}, "podselector": {}}}, {}),
    ],
)
def test_what_is_passed_over_opens_nothing(peer: Manifest, more: Manifest) -> None:
    """With --no-strict: a rule that accepts, and another of the same peers, matches nothing; one
    that passes denies everything; one that denies does so without the field.
    """
    actions = ("Accept", "Deny", "Pass", "Accept")
    own = cnp(ingress=[rule(action, peer, **more) for action in actions])
    snapshot = netpolc.load_objects([own], strict=False)
    accept, deny, passing, again = snapshot.policies[0].rules
    for closed_ in accept, again:
        assert (closed_.action, closed_.peers) == (Action.ACCEPT, ())
    assert deny.action is Action.DENY
    assert deny.peers is not ANY
    assert len(deny.peers) == 1
    assert (passing.action, passing.peers, passing.ports) == (Action.DENY, ANY, ANY)
    said = [own for own in snapshot.warnings if "unknown field" in own.message]
    assert [own.code for own in said] == ["NP010", "", "NP010", "NP010"]
    assert said[0].message.endswith("; ingress[0] matches nothing")
    assert said[2].message.endswith("; ingress[2] denies everything")


def test_a_subject_with_a_field_that_nobody_knows_is_an_error_always() -> None:
    subject = {"namespaces": {"matchLabel": {"team": "ops"}}}
    with pytest.raises(netpolc.InputError, match=r"unknown field .*matchLabel"):
        netpolc.load_objects([cnp(subject=subject)], strict=False)


def test_what_is_written_alike_is_told_each_time() -> None:
    """Of what was read before nothing is passed over that has to be said again."""
    peers = [ALL, {"nodes": {}}, {"networks": ["10.0.0.1/8"]}, {"domainNames": ["a.example."]}]
    named = {"protocols": [{"destinationNamedPort": "no--name"}]}
    one = cnp(
        "a", egress=[out("Accept", own) for own in peers], ingress=[rule("Deny", ALL, **named)]
    )
    other = {**cnp("b", **{k: one["spec"][k] for k in ("egress", "ingress")})}
    denying = cnp("c", egress=[out("Deny", {"nodes": {}})])
    waiving = {**one, "metadata": {"name": "0", "annotations": {"netpolc.dev/ignore": "NP010"}}}
    found: dict[str, list[str]] = {}
    for name, several in {"alone": [other], "later": [waiving, one, other, denying]}.items():
        snapshot = read(*several)
        found[name] = [own.message for own in snapshot.warnings if own.code != "NP004"]
    assert len(found["alone"]) >= 3
    assert found["later"][-len(found["alone"]) - 1 : -1] == found["alone"]
    assert "own node" in found["later"][-1]


@pytest.mark.parametrize("name", ["a.*.example.com", "*", "example", "a b.example.", "-a.example."])
def test_names_of_domains_have_the_form_that_servers_want(name: str) -> None:
    with pytest.raises(netpolc.InputError, match=r"domainNames\[0\] in body should match"):
        read(cnp(egress=[out("Accept", {"domainNames": [name]})]))


def test_names_of_rules_are_as_long_as_servers_take_them() -> None:
    """A hundred characters, whatever they take in UTF-8, though servers speak of bytes."""
    named = {**rule("Accept", ALL), "name": "ü" * 100}
    (policy,) = read(cnp(ingress=[named])).policies
    assert policy.rules[0].origin.called == "ü" * 100
    with pytest.raises(netpolc.InputError, match="Too long: may not be more than 100 bytes"):
        read(cnp(ingress=[{**named, "name": "ü" * 101}]))
