"""What kubectl takes and other readers refuse, or the other way round.

In: small manifests in YAML and JSON. Out: what they mean, or the API server's refusal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import netpolc
from netpolc.core.errors import Problems
from netpolc.manifests import read
from netpolc.manifests.yaml.yaml_format import Locator
from tests.cli.invocation import invoke
from tests.helpers.manifests import Manifest, pod, policy
from tests.manifests.reading import fields, written

TEMPLATE = {"metadata": {"labels": {"app": "seed"}}, "spec": {"containers": []}}
FORMS: dict[str, Callable[[object], str]] = {"yaml": yaml.safe_dump, "json": json.dumps}
AGAIN = """\
a: &l {app: web}
b: *l
c: &l [api, &x 1]
d: *l
e: *x
"""


def job(prefix: str, name: str | None = None) -> Manifest:
    metadata = {"namespace": "shop", "generateName": prefix, **({"name": name} if name else {})}
    kind = {"apiVersion": "batch/v1", "kind": "Job"}
    return {**kind, "metadata": metadata, "spec": {"template": TEMPLATE}}


def test_an_anchor_that_is_defined_again_is_the_later_one(tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", f"apiVersion: v1\nkind: Thing\n{AGAIN}")
    (document,) = read([path], Problems())
    own = fields(document)
    assert {name: own[name] for name in "abcde"} == {
        "a": {"app": "web"},
        "b": {"app": "web"},
        "c": ["api", 1],
        "d": ["api", 1],
        "e": 1,
    }
    locator = Locator(AGAIN.encode())
    assert locator.locate(0, ("d", 0), False) == (3, 8)
    assert locator.locate(0, ("b", "app"), False) == (1, 13)


@pytest.mark.parametrize("text", ["a: &l [*l]\nb: &l 1\n", "a: &l 1\nb: &l 2\nc: *m\n"])
def test_an_anchor_that_is_defined_again_opens_nothing_else(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, "a.yaml", f"apiVersion: v1\nkind: Pod\nmetadata:\n  {text}")
    assert invoke("compile", path).code == 2


def test_aliases_may_not_explode_where_an_anchor_is_defined_again(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]", "z: &a [y, y, y, y, y, y, y, y, y]"]
    for one, two in zip("abcdefg", "bcdefgh", strict=True):
        lines.append(f"{two}: &{two} [{', '.join([f'*{one}'] * 9)}]")
    path = written(tmp_path, "a.yaml", "\n".join(lines))
    assert "aliases expand" in invoke("compile", path).stderr


@pytest.mark.parametrize("form", FORMS)
def test_objects_with_a_generated_name_are_different_ones(form: str, tmp_path: Path) -> None:
    for number, own in enumerate([job("seed-"), job("seed-"), job("move-"), job("x-", "named")]):
        written(tmp_path, f"{number}.{form}", FORMS[form](own))
    one = pod("shop/x", "10.0.0.1")
    one["metadata"] = {"namespace": "shop", "generateName": "x-"}
    written(tmp_path, f"pod.{form}", FORMS[form](one))
    found = netpolc.load([tmp_path]).cluster.pods
    assert [own.name for own in found] == [
        "move-*[Job]",
        "named[Job]",
        "seed-*2[Job]",
        "seed-*[Job]",
        "x-*",
    ]


def test_what_is_no_beginning_of_a_name_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", json.dumps(job("Seed-")))
    said = invoke("compile", path).stderr
    assert said.startswith(f'{path}:1:93: metadata.generateName: Invalid value: "Seed-": a lower')
    named = written(tmp_path, "b.json", json.dumps(job("", "seed-*")))
    assert 'metadata.name: Invalid value: "seed-*"' in invoke("compile", named).stderr


def test_a_policy_needs_a_name(tmp_path: Path) -> None:
    own = policy("shop/x")
    own["metadata"] = {"namespace": "shop", "generateName": "x-"}
    said = invoke("compile", written(tmp_path, "a.yaml", yaml.safe_dump(own))).stderr
    assert 'metadata.name: Required value: policies need one; generateName "x-" is' in said


@pytest.mark.parametrize("form", FORMS)
def test_a_whole_number_may_have_a_point(form: str, tmp_path: Path) -> None:
    ports = [{"port": 80.0, "endPort": 90.0}]
    container = {"name": "c", "image": "i", "ports": [{"name": "http", "containerPort": 8080.0}]}
    own = pod("shop/a", "10.0.0.1")
    own["spec"]["containers"] = [container]
    rules = [{"ports": [*ports, {"port": "http"}]}]
    every = [own, policy("shop/p", podSelector={}, ingress=rules)]
    text = FORMS[form]({"kind": "List", "items": every})
    assert "80.0" in text
    program = netpolc.compile(netpolc.load([written(tmp_path, f"a.{form}", text)]))
    for port, expected in ((79, False), (80, True), (90, True), (91, False), (8080, True)):
        flow = netpolc.Flow("192.0.2.1", "10.0.0.1", "TCP", port)
        assert netpolc.evaluate(program, flow).allowed is expected
    for wrong in ("80.5", "1e400", ".inf"):
        bad = written(tmp_path, f"b.{form}", text.replace("80.0", wrong, 1))
        assert invoke("compile", bad).code == 2


@pytest.mark.parametrize("value", [1, True, 1.5, [], {}])
@pytest.mark.parametrize("kind", ["policy", "pod", "job"])
def test_annotations_are_strings(kind: str, value: object, tmp_path: Path) -> None:
    made = {"policy": policy("shop/p"), "pod": pod("shop/a"), "job": job("a-")}
    own = made[kind]
    own["metadata"]["annotations"] = {"example.com/a": value, "b": "c", "d": None}
    said = invoke("compile", written(tmp_path, "a.yaml", yaml.safe_dump(own))).stderr
    assert "metadata.annotations[example.com/a]: Invalid value: " in said
    assert said.endswith("netpolc: 1 error\n")
    del own["metadata"]["annotations"]["example.com/a"]
    assert invoke("compile", written(tmp_path, "a.yaml", yaml.safe_dump(own))).code == 0
