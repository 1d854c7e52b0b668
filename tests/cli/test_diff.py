"""`netpolc diff`: what changes between two snapshots, in every form, and from a git revision."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.invocation import Outcome, invoke, run
from tests.helpers.manifests import Manifest, namespace, pod, policy
from tests.helpers.scenarios import ROOT

EXAMPLES = ROOT / "examples"

TEAM: list[Manifest] = [
    namespace("shop"),
    pod("shop/web", "10.0.0.1", "fd00::1", app="web"),
    pod("shop/db", "10.0.0.2", "fd00::2", app="db"),
]
WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
DB = {"podSelector": {"matchLabels": {"app": "db"}}}


def only_from(peers: list[Any], *ports: int) -> Manifest:
    """The database's policy: admits these peers on these TCP ports."""
    rule: dict[str, Any] = {"from": peers}
    if ports:
        rule["ports"] = [{"port": port} for port in ports]
    return policy("shop/db", **DB, ingress=[rule])


def write(path: Path, objects: list[Manifest]) -> str:
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
    return str(path)


def compared(tmp_path: Path, old: list[Manifest], new: list[Manifest], *more: str) -> Outcome:
    before, after = tmp_path / "old.json", tmp_path / "new.json"
    return invoke("diff", write(before, old), write(after, new), *more)


def document(outcome: Outcome) -> Any:
    return json.loads(outcome.stdout)


def brief(outcome: Outcome) -> list[tuple[str, ...]]:
    """The changes of a JSON document without examples."""
    keys = ("change", "source", "destination", "was", "is")
    return [tuple(change[key] for key in keys) for change in document(outcome)["changes"]]


def test_added_removed_and_changed_connections(tmp_path: Path) -> None:
    old = [*TEAM, only_from([WEB], 80)]
    new = [*TEAM, only_from([WEB, {"ipBlock": {"cidr": "192.0.2.0/24"}}], 80, 5432)]
    forth = compared(tmp_path, old, new, "-o", "json")
    assert forth.code == 1
    assert brief(forth) == [
        ("changed", "shop/web[Pod]", "shop/db[Pod]", "TCP 80", "TCP 80,5432"),
        ("added", "192.0.2.0/24", "shop/db[Pod]", "none", "TCP 80,5432"),
    ]
    web, block = document(forth)["changes"]
    assert block["families"] == ["IPv4"]
    assert block["source_addresses"] == ["192.0.2.0/24"]
    assert not {"source_addresses", "destination_addresses"} & web.keys()
    back = compared(tmp_path, new, old, "-o", "json")
    assert brief(back) == [
        ("changed", "shop/web[Pod]", "shop/db[Pod]", "TCP 80,5432", "TCP 80"),
        ("removed", "192.0.2.0/24", "shop/db[Pod]", "TCP 80,5432", "none"),
    ]


def test_an_example_and_the_rule_that_admits_it(tmp_path: Path) -> None:
    old, new = [*TEAM, only_from([WEB], 80)], [*TEAM, only_from([WEB], 80, 5432)]
    (change,) = document(compared(tmp_path, old, new, "-o", "json"))["changes"]
    (example,) = change["examples"]
    assert example["allowed"] is True
    assert (example["source"], example["destination"]) == ("shop/web", "shop/db")
    assert (example["protocol"], example["port"]) == (6, 5432)
    (cause,) = example["causes"]
    assert (cause["direction"], cause["effect"]) == ("ingress", "admitted by")
    assert (cause["policy"], cause["rule"]) == ("shop/db", "ingress[0]")
    assert cause["place"].startswith(str(tmp_path / "new.json") + ":1:")


def test_isolation_that_comes_and_goes(tmp_path: Path) -> None:
    free, kept = TEAM, [*TEAM, policy("shop/db", **DB, policyTypes=["Ingress"])]
    outcome = compared(tmp_path, free, kept)
    assert outcome.stdout.splitlines() == [
        "- shop/web[Pod] -> shop/db[Pod]: all",
        "    now denied: shop/web -> shop/db TCP/1",
        f"      ingress isolated by shop/db ({tmp_path}/new.json:1:679)",
        "- 0.0.0.0/0; ::/0 -> shop/db[Pod]: all",
        "    now denied: 1.0.0.1 -> shop/db TCP/1",
        f"      ingress isolated by shop/db ({tmp_path}/new.json:1:679)",
        "connections: 0 added, 2 removed, 0 changed; workloads: 0 new, 0 lost",
    ]
    effects = {
        cause["effect"]
        for change in document(compared(tmp_path, kept, free, "-o", "json"))["changes"]
        for example in change["examples"]
        for cause in example["causes"]
    }
    assert effects == {"was isolated by"}


def test_families_are_named_where_one_alone_changed(tmp_path: Path) -> None:
    six = {"ipBlock": {"cidr": "fd00::1/128"}}
    outcome = compared(tmp_path, [*TEAM, only_from([])], [*TEAM, only_from([six], 80)])
    assert outcome.code == 1, "no peers at all is every peer"
    both = compared(tmp_path, [*TEAM, only_from([six], 80)], [*TEAM, only_from([WEB], 80)])
    assert both.stdout.splitlines()[0] == "+ shop/web[Pod] -> shop/db[Pod]: TCP 80 (IPv4)"


def test_other_words_are_no_difference(tmp_path: Path) -> None:
    one = policy("shop/a", **DB, ingress=[{"from": [WEB], "ports": [{"port": 80}, {"port": 81}]}])
    expression = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}
    two = policy(
        "shop/b",
        **DB,
        policyTypes=["Ingress"],
        ingress=[{"from": [{"podSelector": expression}], "ports": [{"port": 80, "endPort": 81}]}],
    )
    for form in ("table", "md"):
        outcome = compared(tmp_path, [*TEAM, one], [*reversed(TEAM), two], "-o", form)
        assert (outcome.code, outcome.stdout) == (0, "no difference\n")


def test_new_and_lost_workloads(tmp_path: Path) -> None:
    template = {"metadata": {"labels": {"app": "job"}}, "spec": {"containers": []}}
    kind = {"apiVersion": "apps/v1", "kind": "Deployment"}
    job = {**kind, "metadata": {"name": "job", "namespace": "shop"}, "spec": {"template": template}}
    outcome = compared(tmp_path, TEAM, [*TEAM[:2], job], "-o", "json")
    assert outcome.code == 1
    found = document(outcome)
    assert found["workloads"] == {"new": ["shop/job[Deployment]"], "lost": ["shop/db[Pod]"]}
    assert ("added", "shop/web[Pod]", "shop/job[Deployment]", "none", "all") in brief(outcome)
    assert ("removed", "shop/web[Pod]", "shop/db[Pod]", "all", "none") in brief(outcome)


def test_replicas_that_come_and_go_are_no_difference(tmp_path: Path) -> None:
    def replica(name: str, address: str) -> Manifest:
        own = pod(f"shop/{name}", address, app="web")
        own["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "web"}]
        return own

    old = [*TEAM, replica("web-a", "10.0.0.8"), only_from([WEB], 80)]
    new = [*TEAM, replica("web-b", "10.0.0.9"), replica("web-c", "10.0.0.10"), old[-1]]
    assert compared(tmp_path, old, new).stdout == "no difference\n"


def test_ranges_that_fare_alike_are_one_change(tmp_path: Path) -> None:
    """The other policy cuts the address line where this change does not look."""
    cut = policy("shop/web", **WEB, ingress=[{"from": [{"ipBlock": {"cidr": "198.51.100.0/24"}}]}])
    outcome = compared(tmp_path, [*TEAM, cut], [*TEAM, cut, only_from([WEB])], "-o", "json")
    assert [row[1] for row in brief(outcome)] == ["0.0.0.0/0; ::/0"]


FORMS = {
    "csv": "change,source,destination,families,was,is,examples,because of\r\n"
    'changed,shop/web[Pod],shop/db[Pod],IPv4+IPv6,TCP 80,"TCP 80-81",'
    "now allowed: shop/web -> shop/db TCP/81,"
    "ingress admitted by shop/db ingress[0] (PLACE)\r\n",
    "md": "| change | source | destination | families | was | is | examples | because of |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
    "| changed | shop/web\\[Pod\\] | shop/db\\[Pod\\] | IPv4+IPv6 | TCP 80 | TCP 80-81 "
    "| now allowed: shop/web -\\> shop/db TCP/81 "
    "| ingress admitted by shop/db ingress\\[0\\] (PLACE) |\n\n"
    "connections: 0 added, 0 removed, 1 changed; workloads: 0 new, 0 lost\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(tmp_path: Path, form: str) -> None:
    target = tmp_path / "out"
    old, new = [*TEAM, only_from([WEB], 80)], [*TEAM, only_from([WEB], 80, 81)]
    outcome = compared(tmp_path, old, new, "-o", form, "--file", str(target))
    assert (outcome.code, outcome.stdout) == (1, "")
    place = document(compared(tmp_path, old, new, "-o", "json"))["changes"][0]["examples"][0][
        "causes"
    ][0]["place"]
    shown = place.replace("_", "\\_") if form == "md" else place
    expected = FORMS[form].replace("PLACE", shown).replace('"TCP 80-81"', "TCP 80-81")
    assert target.read_bytes().decode() == expected
    if form == "csv":
        assert len(list(csv.reader(io.StringIO(target.read_text())))) == 2


def test_a_page_of_both_sides(tmp_path: Path) -> None:
    page = tmp_path / "change.html"
    new = [*TEAM, only_from([WEB], 80)]
    outcome = compared(tmp_path, TEAM, new, "-o", "html", "--file", str(page))
    assert (outcome.code, outcome.stdout) == (1, "")
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert f"{tmp_path / 'old.json'} → {tmp_path / 'new.json'}</title>" in text
    assert f"{tmp_path / 'new.json'}:1:" in text
    same = compared(tmp_path, new, new, "-o", "html")
    assert same.code == 0
    assert same.stdout.startswith("<!doctype html>")


def test_a_graph_tells_the_kinds_apart(tmp_path: Path) -> None:
    old, new = [*TEAM, only_from([WEB], 80)], [*TEAM, policy("shop/db", **DB)]
    assert (
        '"shop/web[Pod]" -> "shop/db[Pod]" [label="TCP 80", color="red", style="dashed"]'
        in compared(tmp_path, old, new, "-o", "dot").stdout
    )


@pytest.mark.skipif(not shutil.which("dot"), reason="Graphviz is not installed")
def test_a_drawing(tmp_path: Path) -> None:
    old, new = [*TEAM, only_from([WEB], 80)], [*TEAM, policy("shop/db", **DB)]
    root = ElementTree.fromstring(compared(tmp_path, old, new, "-o", "svg").stdout)
    assert {"shop/web[Pod]", "shop/db[Pod]", "TCP 80"} <= set(root.itertext())


def test_the_example_of_the_page() -> None:
    """What is in docs/diff.md, from the files as they are."""
    tier = EXAMPLES / "three-tier"
    common = [tier / name for name in ("pods.yaml", "namespaces.yaml", "nodes.yaml")]
    given = [argument for path in common for argument in ("--with", str(path))]
    outcome = invoke("diff", str(tier / "policies.yaml"), str(EXAMPLES / "proposed.yaml"), *given)
    assert outcome.code == 1
    assert outcome.stdout.splitlines()[-1] == (
        "connections: 1 added, 2 removed, 4 changed; workloads: 0 new, 0 lost"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.json"], "give OLD and NEW"),
        (["a.json", "b.json", "c.json"], "give OLD and NEW"),
        (["a.json", "nowhere.json"], "nowhere.json: No such file"),
        (["--git", "HEAD", "-"], "standard input has no revision"),
    ],
)
def test_misuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a.json", TEAM)
    outcome = invoke("diff", *arguments, "--file", "out")
    assert outcome.code == 2
    assert words in outcome.stderr
    assert not (tmp_path / "out").exists()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose only revision has the policy for port 80."""
    folder = tmp_path / "repo"
    (folder / "k8s" / ".hidden").mkdir(parents=True)
    write(folder / "k8s" / "all.json", [*TEAM, only_from([WEB], 80)])
    (folder / "k8s" / ".hidden" / "broken.yaml").write_text("[")
    (folder / "k8s" / "notes.txt").write_text("[")
    (folder / "link.json").symlink_to("k8s/all.json")
    (folder / "away.json").symlink_to("/etc/hostname")
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    write(folder / "k8s" / "all.json", [*TEAM, only_from([WEB], 80, 443)])
    return folder


def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *who, *arguments], check=True)


@pytest.mark.parametrize("path", ["k8s", "k8s/all.json", "link.json"])
def test_a_revision_and_the_tree(repository: Path, path: str) -> None:
    outcome = run("diff", "--git", "HEAD", path, cwd=repository)
    assert outcome.code == 1, outcome.stderr
    first = outcome.stdout.splitlines()[0]
    assert first == "~ shop/web[Pod] -> shop/db[Pod]: TCP 80 => TCP 80,443"


def test_places_of_the_old_side_name_the_revision(repository: Path) -> None:
    write(repository / "k8s" / "all.json", [*TEAM, policy("shop/db", **DB)])
    outcome = run("diff", "--git", "HEAD", ".", cwd=repository / "k8s")
    assert "ingress was admitted by shop/db ingress[0] (HEAD:k8s/all.json:1:" in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--git", "nosuch", "k8s"], "'nosuch' is no revision"),
        (["--git", "--help", "k8s"], "--help"),
        (["--git", "HEAD", "other"], "other is not in revision HEAD"),
        (["--git", "HEAD", "away.json"], "not a git repository"),
        (["--git", "HEAD", "/"], "not a git repository"),
    ],
)
def test_what_git_does_not_have(repository: Path, arguments: list[str], words: str) -> None:
    outcome = run("diff", *arguments, cwd=repository)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert words in outcome.stderr
