"""What nodes share is written once, and every node has the text that it has alone."""

from __future__ import annotations

from collections import Counter

import pytest
from msgspec import structs

import netpolc
from netpolc.backends.nft import Options, Rulesets, model
from netpolc.backends.nft.objects import Written
from netpolc.backends.nft.write import digest as digest_module
from netpolc.backends.nft.write import pieces, text
from netpolc.backends.nft.write.ruleset import Ruleset
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

NODES = ("node-a", "node-b", "node-c")
CHOICES = (
    Options(),
    Options(audit=True),
    Options(established="recheck"),
    Options(established="recheck", audit=True, log="5/second"),
)


@pytest.fixture
def program() -> netpolc.Program:
    """Two policies for pods of every node: one about many pods, one about blocks and ports."""
    objects: list[Manifest] = [namespace("x")]
    for number, name in enumerate(NODES):
        objects += [
            node(name, f"172.16.0.{number + 1}"),
            pod(f"x/web-{number}", f"10.0.{number}.1", on=name, app="web"),
            pod(f"x/api-{number}", f"10.0.{number}.2", f"fd00::{number}:2", on=name, app="api"),
            *(
                pod(f"x/peer-{number}-{own}", f"10.0.{number}.{own}", on=name, app="peer")
                for own in range(10, 30)
            ),
        ]
    peers = {"podSelector": {"matchLabels": {"app": "peer"}}}
    blocks = [{"ipBlock": {"cidr": f"192.0.{own}.0/24"}} for own in range(0, 40, 2)]
    objects += [
        policy("x/web", podSelector={"matchLabels": {"app": "web"}}, ingress=[{"from": [peers]}]),
        policy(
            "x/api",
            podSelector={"matchLabels": {"app": "api"}},
            ingress=[
                {"from": blocks, "ports": [{"port": own} for own in (80, 443, 8080)]},
                {"from": [peers], "ports": [{"port": 53, "protocol": "UDP"}]},
            ],
        ),
    ]
    return netpolc.compile(netpolc.load_objects(objects))


def test_every_node_has_the_text_that_it_has_alone(program: netpolc.Program) -> None:
    rulesets = Rulesets(program)
    for _ in range(2):  # of what is kept from the second time on, too
        for options in CHOICES:
            for name in NODES:
                alone = Rulesets(program).of(name, options)
                shared = rulesets.of(name, options)
                assert (shared.text(), shared.digest) == (alone.text(), alone.digest)
                assert shared.objects == alone.objects
    assert rulesets.of("node-a", Options()).text() != rulesets.of("node-b", Options()).text()


def watched(monkeypatch: pytest.MonkeyPatch) -> tuple[Counter[str], Counter[str]]:
    """How often each object is written and hashed from now on."""
    made, hashed = Counter[str](), Counter[str]()
    write, digest = text.written, digest_module.object_digest

    def written(entry: text.Entry) -> Written:
        made[entry.name] += 1
        return write(entry)

    def object_digest(entry: Written) -> bytes:
        hashed[entry.name] += 1
        return digest(entry)

    monkeypatch.setattr(text, "written", written)
    monkeypatch.setattr(pieces, "object_digest", object_digest)
    return made, hashed


def test_what_nodes_share_is_written_and_hashed_once(
    program: netpolc.Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, hashed = watched(monkeypatch)
    rulesets = Rulesets(program)
    texts = [rulesets.of(name, Options()).text() for name in NODES]
    sets = [name for name in made if name.startswith(("s4_", "c4_"))]
    judges = [name for name in made if name.startswith("i_") and name != "i_unknown"]
    assert len(sets) == 2
    assert len(judges) == 2
    assert all(name in own for name in (*sets, *judges) for own in texts)
    assert {made[name] for name in (*sets, *judges)} == {1}
    assert {hashed[name] for name in (*sets, *judges)} == {1}
    # What is each node's own has one name on all of them, and is theirs alone.
    assert made["in4"] == hashed["in4"] == len(NODES)


def test_no_more_is_kept_than_there_are_names(program: netpolc.Program) -> None:
    several = pieces.Pieces()
    rulesets = Rulesets(program)
    kept = set()
    for name in NODES * 3:
        table = rulesets.of(name, Options()).table
        entries = list(text.entries(table))
        kept |= {(type(own), own.name) for own in entries}
        assert [own.entry for own in several.of(table)] == entries
    assert sum(map(len, vars(several).values())) == len(kept)


def shortened(table: model.Table) -> tuple[model.Table, list[model.AddressSet | model.AddressMap]]:
    """A table in which the first set of pods and every map of pods lack an element, and those."""
    one = next(own for own in table.sets if own.name.startswith("s4_"))
    assert isinstance(one, model.AddressSet)
    sets = {one.name: structs.replace(one, elements=one.elements[1:])}
    maps = {
        own.name: structs.replace(own, elements=own.elements[1:])
        for own in table.maps
        if isinstance(own, model.AddressMap)
    }
    assert maps
    other = structs.replace(
        table,
        sets=tuple(sets.get(own.name, own) for own in table.sets),
        maps=tuple(maps.get(own.name, own) for own in table.maps),
    )
    return other, [*sets.values(), *maps.values()]


@pytest.mark.parametrize("options", CHOICES)
def test_a_ruleset_with_other_elements_is_as_if_made_anew(
    program: netpolc.Program, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no object is written or hashed again in which none differs."""
    before = Rulesets(program).of("node-a", options)
    text_before, digest_before = before.text(), before.digest
    table, others = shortened(before.table)
    anew = Ruleset(table, options, "node-a", before.owners)
    expected = anew.text(), anew.digest, anew.objects, str(anew.entries())
    made, hashed = watched(monkeypatch)
    edited = before.edited(table, before.owners, others)
    assert (edited.text(), edited.digest, edited.objects, str(edited.entries())) == expected
    assert made == hashed == Counter([own.name for own in others])
    again = edited.edited(before.table, before.owners, [*before.table.sets, *before.table.maps])
    assert (again.text(), again.digest) == (text_before, digest_before)
    assert digest_before != edited.digest
