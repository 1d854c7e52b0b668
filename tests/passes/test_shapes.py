"""Hostile shapes of policies: the ruleset follows what they wrote, whatever overlaps.

In: every shape of the generator in `benches/hostile.py`, at two sizes. Out: lines of the ruleset,
against (rule, port, peer) counted in the manifests. A line is a rule, a chain, a map or an entry of
a map. Sets and maps of addresses are not counted: they hold what a peer is, each address once.
"""

from __future__ import annotations

from typing import Any

import pytest

import netpolc
from benches.hostile import NODE, SHAPES, Shape

Manifest = dict[str, Any]
LINES = 4
FIXED = 8
"""The maps of a chain and what looks in them, whatever their size."""


def objects_of(shape: Shape, size: int) -> list[Manifest]:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    other = {**node, "metadata": {"name": "node-b"}}
    return [node, other, *shape(size)]


def written(objects: list[Manifest]) -> int:
    """How often the policies wrote a rule, a port and a peer; a name of ports is also each number
    that pods have behind it.
    """
    found = 0
    names = set()
    for item in objects:
        if item["kind"] == "NetworkPolicy":
            for rules, peers in (("ingress", "from"), ("egress", "to")):
                for rule in item["spec"].get(rules, ()):
                    ports = rule.get("ports", ())
                    found += max(1, len(ports)) * max(1, len(rule.get(peers, ())))
                    names |= {own["port"] for own in ports if isinstance(own.get("port"), str)}
    numbers = {
        (own["name"], own["containerPort"])
        for item in objects
        if item["kind"] == "Pod"
        for own in item["spec"]["containers"][0].get("ports", ())
        if own["name"] in names
    }
    return found + len(numbers)


def without_rules(objects: list[Manifest]) -> list[Manifest]:
    """The same policies, which isolate the same pods and admit nothing."""
    emptied = []
    for item in objects:
        if item["kind"] == "NetworkPolicy":
            types = item["spec"].get("policyTypes", ["Ingress"])
            spec = {"podSelector": item["spec"]["podSelector"], "policyTypes": types}
            emptied.append({**item, "spec": spec})
        else:
            emptied.append(item)
    return emptied


def lines(objects: list[Manifest]) -> int:
    program = netpolc.compile(netpolc.load_objects(objects))
    counted = 0
    block = ""
    for line in program.ruleset(NODE).text().splitlines():
        word = line.split(maxsplit=1)[0]
        if line.startswith("\t") and not line.startswith("\t\t"):
            name = line.split()[-2] if line.endswith("{") else ""
            block = "addresses" if word == "map" and name.startswith(("a4_", "a6_")) else word
            counted += block in ("map", "chain")
        elif word not in ("}", "type"):
            depth = len(line) - len(line.lstrip("\t"))
            counted += (block, depth) in (("map", 3), ("chain", 2))
    return counted


@pytest.mark.parametrize("size", [12, 70])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_ruleset_has_few_lines_for_what_was_written(shape: Shape, size: int) -> None:
    objects = objects_of(shape, size)
    made = lines(objects) - lines(without_rules(objects))
    assert 0 < made <= LINES * written(objects) + FIXED, f"{made} lines for {written(objects)}"
