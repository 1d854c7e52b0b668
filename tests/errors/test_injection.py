"""Hostile manifests: nothing that a manifest says may become nft syntax or a path.

In: names that nft reads as keywords, and text with quotes, newlines, comments and commands wherever
a manifest can hold text. Out: a ruleset made of netpolc's own words, or a refusal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft import model as nft
from netpolc.backends.nft.wording import plain
from netpolc.backends.nft.write.owners import Owners
from tests.cli.invocation import invoke, run

KEYWORDS = [
    "accept", "add", "chain", "counter", "ct", "delete", "drop", "dst", "element", "flush", "goto",
    "include", "inet", "ip", "ip6", "jump", "list", "map", "meta", "policy", "reject", "return",
    "ruleset", "saddr", "set", "table", "tcp", "type", "vmap",
]  # fmt: skip
HOSTILE = [
    '"; flush ruleset; #',
    '"\n\t}\n}\nflush ruleset\n',
    "} } delete table inet filter",
    "\\",
    "$(reboot)",
    "`reboot`",
    'include "/etc/shadow"',
    "@s4_0",
    "# comment",
    "\x00",
    "é\u202e",
    "%s{0}",
]
_COMMENT = re.compile(r'comment "([^"\n]*)"')
_HARMLESS = re.compile(r"[-A-Za-z0-9 ._/,:+=()\[\]]*")


def pod(name: str, address: str, **more: Any) -> dict[str, Any]:
    """A pod with labels that the policies below select."""
    metadata = {"name": name, "namespace": more.pop("namespace", "default"), **more}
    labels = metadata.setdefault("labels", {})
    labels.setdefault("app", name)
    spec = {"nodeName": "node-a", "containers": [{"ports": [{"name": "web", "containerPort": 80}]}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": spec,
        "status": {"podIP": address},
    }


def policy(name: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    """A policy that isolates its namespace and admits a block and its pods."""
    peers = [{"podSelector": {}}, {"ipBlock": {"cidr": "192.0.2.0/24"}}]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace, **more},
        "spec": {"ingress": [{"from": peers, "ports": [{"port": "web"}, {"port": 443}]}]},
    }


def text_of(*objects: dict[str, Any]) -> str:
    """The ruleset of some manifests."""
    return netpolc.compile(netpolc.load_objects(objects)).ruleset().text()


def without_comments(text: str) -> str:
    """What nft executes: comments are the only place for words of the user's."""
    lines = [line for line in text.splitlines() if not line.startswith("# ")]
    return _COMMENT.sub("", "\n".join(lines))


@pytest.mark.parametrize("word", KEYWORDS)
def test_keywords_as_names_stay_in_comments(word: str) -> None:
    objects = [pod(word, "10.64.0.7", namespace=word), policy(word, word)]
    plain_objects = [pod("web", "10.64.0.7", namespace="team"), policy("web", "team")]
    own, ordinary = text_of(*objects), text_of(*plain_objects)
    assert f'comment "{word}/{word} ingress[0]"' in own
    renamed = re.sub(r"[0-9a-f]{16,}", "HASH", without_comments(own))
    assert renamed == re.sub(r"[0-9a-f]{16,}", "HASH", without_comments(ordinary))


def hostile_places(text: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Snapshots that carry a text in each place that takes any text."""
    base = [pod("web", "10.64.0.7"), policy("web")]
    note = "kubectl.kubernetes.io/last-applied-configuration"
    noted: dict[str, Any] = {"annotations": {"note": text, note: text}}
    yield "pod annotation", [pod("web", "10.64.0.7", **noted), policy("web")]
    yield "policy annotation", [pod("web", "10.64.0.7"), policy("web", **noted)]
    yield (
        "namespace annotation",
        [
            *base,
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default", **noted}},
        ],
    )
    yield (
        "node address that is no IP",
        [
            *base,
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": "node-a"},
                "status": {"addresses": [{"type": "Hostname", "address": text}]},
            },
        ],
    )
    yield (
        "other kinds",
        [
            *base,
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": text},
                "data": {text: text},
            },
        ],
    )
    other = json.loads(json.dumps(base[0]))
    other["spec"]["containers"].append({"name": text, "image": text, "command": [text]})
    other["status"]["message"] = text
    yield "container", [other, base[1]]


@pytest.mark.parametrize("text", HOSTILE)
def test_free_text_never_reaches_the_ruleset(text: str) -> None:
    ordinary = text_of(pod("web", "10.64.0.7"), policy("web"))
    for place, objects in hostile_places(text):
        assert text_of(*objects) == ordinary, place


def refused_places(text: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Snapshots with a text where a name or a label stands."""
    good = pod("web", "10.64.0.7")
    yield "policy name", [good, policy(text)]
    yield "policy namespace", [good, policy("web", text)]
    yield "pod name", [pod(text, "10.64.0.7")]
    yield "pod namespace", [pod("web", "10.64.0.7", namespace=text)]
    yield "pod label", [pod("web", "10.64.0.7", labels={"app": text})]
    yield "policy label", [good, policy("web", labels={"app": text})]
    yield "policy label key", [good, policy("web", labels={text: "web"})]
    yield "pod label key", [pod("web", "10.64.0.7", labels={text: "web"})]
    for kind in ("Namespace", "Node"):
        yield kind, [{"apiVersion": "v1", "kind": kind, "metadata": {"name": text}}]
    selector = policy("web")
    selector["spec"]["podSelector"] = {"matchLabels": {"app": text}}
    yield "selector", [good, selector]
    port = policy("web")
    port["spec"]["ingress"][0]["ports"] = [{"port": text}]
    yield "port", [good, port]
    block = policy("web")
    block["spec"]["ingress"][0]["from"] = [{"ipBlock": {"cidr": text}}]
    yield "block", [good, block]


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_labels_must_be_what_they_are(text: str) -> None:
    for place, objects in refused_places(text):
        with pytest.raises(netpolc.InputError) as refused:
            netpolc.load_objects(objects)
        assert len(str(refused.value).splitlines()) == len(refused.value.diagnostics), place


@pytest.mark.parametrize("text", HOSTILE)
def test_an_odd_object_says_nothing_of_its_own_in_a_ruleset(text: str) -> None:
    ordinary = pod("web", "10.64.0.7")
    for place, objects in (*refused_places(text), ("address", [ordinary, pod("odd", text)])):
        try:
            snapshot = netpolc.load_objects(objects, odd_objects="isolate")
        except netpolc.InputError:
            assert place == "policy namespace", place  # nobody knows whom it is about
            continue
        assert all(str(warning).isprintable() for warning in snapshot.warnings), place
        written = netpolc.compile(snapshot).ruleset().text()
        assert all(map(_HARMLESS.fullmatch, _COMMENT.findall(written))), place
        assert "flush" not in written.replace("flush-ruleset", ""), place
        assert written.isascii(), place


def test_long_names_stay_inside_their_comment() -> None:
    name = "a" * 126 + "." + "b" * 126
    text = text_of(pod("web", "10.64.0.7"), *(policy(f"{name[:-2]}{n}") for n in range(10, 40)))
    comments = _COMMENT.findall(text)
    assert comments
    assert all(len(comment) <= 127 and _HARMLESS.fullmatch(comment) for comment in comments)


@pytest.mark.parametrize("text", [text for text in HOSTILE if not _HARMLESS.fullmatch(text)])
def test_the_last_line_refuses_hostile_text_too(text: str) -> None:
    """Should a frontend ever forget to check: no such comment can be written."""
    with pytest.raises(netpolc.UnsupportedError):
        plain(text)
    counter = nft.Counter("drop_i_0", text)
    table = nft.Table("netpolc", (counter,), (), (), ())
    program = netpolc.compile(netpolc.load_objects([]))
    ruleset = netpolc.Ruleset(table, netpolc.Options(), None, Owners(lambda: program, None))
    with pytest.raises(netpolc.UnsupportedError):
        ruleset.text()
    with pytest.raises(netpolc.UnsupportedError):
        ruleset.json()


@pytest.mark.parametrize("name", ['a"; flush ruleset; "', "a\nb", "a;b", "$HOME", "-n"])
def test_names_of_files_do_not_reach_the_ruleset(name: str, tmp_path: Path) -> None:
    items = [pod("web", "10.64.0.7"), policy("web")]
    objects = {"apiVersion": "v1", "kind": "List", "items": items}
    (tmp_path / f"{name}.json").write_text(json.dumps(objects))
    outcome = invoke("compile", str(tmp_path))
    assert outcome.stdout == text_of(*items)


@pytest.mark.parametrize(
    "name",
    [
        "../../outside",
        "/OUTSIDE/outside",
        "a\n} flush ruleset",
    ],
)
def test_a_node_name_cannot_leave_the_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "outside").mkdir()
    name = name.replace("/OUTSIDE", str(tmp_path / "outside"))
    hostile = pod("web", "10.64.0.7")
    hostile["spec"]["nodeName"] = name
    (tmp_path / "in" / "pod.json").write_text(json.dumps(hostile))
    run("compile", "in", "--all-nodes", "--file", "here/there/out", cwd=tmp_path)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert written == [tmp_path / "in" / "pod.json"]


def test_an_unknown_node_is_named_and_refused(tmp_path: Path) -> None:
    (tmp_path / "pod.json").write_text(json.dumps(pod("web", "10.64.0.7")))
    (tmp_path / "policy.json").write_text(json.dumps(policy("web")))
    for name in ("node-b", "../node-a", "node-a\n", ""):
        outcome = invoke(
            "compile", str(tmp_path), "--node", name, "--file", str(tmp_path / "x.nft")
        )
        assert outcome.stderr == f"netpolc: unknown node {name!r}; known: node-a\n"
        assert (outcome.code, outcome.stdout) == (2, "")
    assert not (tmp_path / "x.nft").exists()
