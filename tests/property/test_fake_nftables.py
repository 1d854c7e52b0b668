"""The fake does what the kernel does: random transactions leave the same tables on both, and what
one refuses the other refuses with the same error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft import KEEP, RECHECK
from netpolc.backends.nft.readback import parse_json
from netpolc.backends.nft.readback.parse_listing import parse_listing
from netpolc.backends.nft.rollout.libnftables.session import Reply, Session
from netpolc.backends.nft.rollout.netfilter.generation import Generation
from tests.helpers.fake_nftables import FakeNftables, Unmodelled
from tests.helpers.fake_nftables.stand_in import FakeSession
from tests.helpers.lab import Router
from tests.helpers.manifests import Manifest
from tests.helpers.nft_transactions import TABLES, transactions
from tests.helpers.strategies import patient, snapshots

CODES = (
    errno.ENOENT,
    errno.EEXIST,
    errno.EBUSY,
    errno.ENFILE,
    errno.EMLINK,
    errno.EOPNOTSUPP,
    errno.EINVAL,
)


class Pair:
    """The kernel in a namespace, and the fake."""

    def __init__(self, router: Router) -> None:
        self.session = router.call(Session)
        self.generation = router.call(Generation)
        self.verbs = self._verbs()
        self.restart()

    def restart(self) -> None:
        """Empty both."""
        assert self.session.ask("flush ruleset").code == 0
        self.fake = FakeNftables()

    def _verbs(self) -> list[str]:
        """Those that this nft knows: `destroy` is one from 1.0.7 on."""
        known = self.session.ask("destroy table inet nothing").code == 0
        return ["add", "add", "add", "create", "delete", "delete", *["destroy"] * known]

    def agree(self, text: str) -> str:
        """Run a transaction on both and compare; gives what came of it."""
        before, own = self.generation.read(), self.fake.generation
        answer = FakeSession(self.fake).ask(text)
        said = self.session.ask(text)
        assert refusal(answer) == refusal(said), f"{text}\nthe kernel: {said.error}"
        assert self.fake.generation - own == self.generation.read() - before, text
        for table in sorted({*TABLES, netpolc.Options().table}):
            assert self.listed(FakeSession(self.fake), table) == self.listed(self.session, table)
        return refusal(answer)

    def listed(self, session: Session | FakeSession, table: str) -> object:
        """A table as the reader of listings sees it, elements in no order."""
        answer = session.ask(f"list table inet {table}", stateless=True, numeric=True)
        if answer.code:
            return refusal(answer)
        asleep = "\tflags dormant\n"
        objects = parse_listing(answer.output.replace(asleep, ""), table)
        notes = [line for line in answer.output.splitlines() if line.startswith("\tcomment ")]
        return (
            asleep in answer.output,
            notes,
            [
                (own.kind, own.name, own.opening, own.rules, {*own.elements}, own.refers)
                for own in objects
            ],
        )


def refusal(answer: Reply) -> str:
    """The error that is told first, by the name of its number; where nft has only words, EINVAL."""
    if answer.code == 0:
        return "done"
    first = next(line for line in answer.error.splitlines() if "Error" in line)
    if first.endswith("with different declaration"):  # how later versions of nft say it
        return "ENOTSUP"
    return next((errno.errorcode[own] for own in CODES if os.strerror(own) in first), "EINVAL")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Router() as router:
        yield Pair(router)


BEFORE = """table inet t {
	chain base {
		type filter hook forward priority 0; policy accept;
		jump led comment "to a chain that refers to everything"
	}
	chain free {
	}
	chain led {
		ip saddr @asked counter name counts accept
		ip daddr vmap @leads
	}
	chain target {
	}
	chain itself {
		jump itself
	}
	counter counts {
		comment "first"
	}
	set asked {
		typeof ip saddr
		size 2
		elements = { 10.0.0.1 comment "one", 10.0.0.2 }
	}
	map leads {
		typeof ip saddr : verdict
		size 16
		elements = { 10.0.0.1 : goto target }
	}
	set blocks {
		typeof ip saddr . meta l4proto
		flags interval
		elements = { 10.0.0.16/28 . 0-255 }
	}
}
"""
REFUSED = [
    ("create table inet t", "EEXIST"),
    ("delete table inet u", "ENOENT"),
    ("create chain inet t free", "EEXIST"),
    ("delete chain inet t led", "EBUSY"),
    ("delete chain inet t target", "EBUSY"),
    ("delete chain inet t itself", "EBUSY"),
    ("delete chain inet t target\ndelete map inet t leads", "EBUSY"),
    ("delete set inet t asked", "EBUSY"),
    ("delete map inet t leads", "EBUSY"),
    ("delete counter inet t counts", "EBUSY"),
    ("delete counter inet t nothing", "ENOENT"),
    ("flush chain inet t nothing", "ENOENT"),
    ("add rule inet t free jump nothing", "ENOENT"),
    ("add rule inet t free ip saddr @nothing accept", "ENOENT"),
    ("add rule inet t free counter name nothing", "ENOENT"),
    ("add rule inet t free ip6 saddr @asked accept", "EINVAL"),
    ("add rule inet t free ip saddr vmap @asked", "EINVAL"),
    ("add rule inet t free goto base", "ENOTSUP"),
    ("add rule inet t led jump itself", "EMLINK"),
    ("add rule inet t target jump led", "EMLINK"),
    ("add element inet t leads { 10.0.0.2 : jump led }", "EMLINK"),
    ("add element inet t asked { 10.0.0.3 }", "ENFILE"),
    ("add element inet t asked { 10.0.0.3 }\ndelete element inet t asked { 10.0.0.1 }", "ENFILE"),
    ("add set inet t asked { typeof ip saddr; size 3; }\n"
     "add element inet t asked { 10.0.0.3 }", "ENFILE"),
    ("create element inet t asked { 10.0.0.1 }", "EEXIST"),
    ("delete element inet t asked { 10.0.0.3 }", "ENOENT"),
    ("add element inet t leads { 10.0.0.1 : goto free }", "EEXIST"),
    ("add element inet t leads { 10.0.0.1 : jump target }", "EEXIST"),
    ("add element inet t leads { 10.0.0.2 : goto nothing }", "ENOENT"),
    ("add element inet t blocks { 10.0.0.20 . 0-255 }", "EEXIST"),
    ("add element inet t blocks { 10.0.0.8-10.0.0.16 . 0-255 }", "EEXIST"),
    ("add set inet t asked { typeof ip6 saddr; size 2; }", "EEXIST"),
    ("add map inet t asked { typeof ip saddr : verdict; size 2; }", "EEXIST"),
    ("add chain inet t free { type filter hook forward priority 0; policy accept; }", "ENOTSUP"),
    ("delete chain inet t led\nadd element inet t nothing { 10.0.0.1 }", "ENOENT"),
    ("add table inet t { flags dormant; }\nadd table inet t", "EINVAL"),
]  # fmt: skip
"""Each alone, after `BEFORE`."""
DONE = [
    "add table inet t",
    "add chain inet t free",
    "add chain inet t base { type filter hook forward priority 0; policy drop; }",
    'add counter inet t counts { comment "second"; }',
    "delete chain inet t free",
    "flush chain inet t itself\ndelete chain inet t itself",
    "flush chain inet t led\ndelete map inet t leads\ndelete chain inet t target",
    "flush map inet t leads\ndelete chain inet t target",
    "add element inet t asked { 10.0.0.2 }",
    'add element inet t asked { 10.0.0.1 comment "another" }',
    "delete element inet t asked { 10.0.0.1 }\nadd element inet t asked { 10.0.0.3 }",
    "add set inet t asked { typeof ip daddr; size 1; }",
    "delete element inet t leads { 10.0.0.1 : drop }",
    "delete element inet t leads { 10.0.0.1 }\nadd element inet t leads { 10.0.0.1 : goto free }",
    "delete element inet t blocks { 10.0.0.20 . 6 }",
    "add element inet t blocks { 10.0.0.0/24 . 0-255 }",
    "add rule inet t itself jump led",
    "insert rule inet t base drop; insert rule inet t base return",
    "flush table inet t",
    "add table inet t { flags dormant; }",
    "add table inet u; delete table inet u",
    'table inet t\ndelete table inet t\ntable inet t {\n\tcomment "new"\n}',
]
EACH = pytest.mark.parametrize(
    ("text", "wanted"), [*REFUSED, *((text, "done") for text in DONE)], ids=str
)


@EACH
def test_a_refusal_leaves_everything_as_it_was(text: str, wanted: str) -> None:
    fake = FakeNftables()
    fake.run(BEFORE)
    tables, number = fake.tables, fake.generation
    assert refusal(FakeSession(fake).ask(text)) == wanted
    if wanted != "done":
        assert (fake.tables, fake.generation) == (tables, number)
        again = FakeNftables()
        again.run(BEFORE)
        assert again.tables == tables


@pytest.mark.kernel
@EACH
def test_the_kernel_says_the_same(pair: Pair, text: str, wanted: str) -> None:
    pair.restart()
    assert pair.agree(BEFORE) == "done"
    assert pair.agree(text) == wanted


@pytest.mark.kernel
@settings(patient(40))
@given(objects=snapshots(), how=st.sampled_from([KEEP, RECHECK]))
def test_tables_of_netpolc_are_listed_as_the_kernel_does(
    pair: Pair, objects: list[Manifest], how: str
) -> None:
    pair.restart()
    options = netpolc.Options(established=how, log="5/second")
    ruleset = netpolc.compile(netpolc.load_objects(objects)).ruleset(options=options)
    assert pair.agree(ruleset.text()) == "done"
    ask = f"list table inet {options.table}"
    listed, real = (
        own.ask(ask, json=True).output for own in (FakeSession(pair.fake), pair.session)
    )
    assert parse_json.parse(listed).content() == parse_json.parse(real).content()


@pytest.mark.parametrize("kind", ["chain", "set", "map", "counter"])
def test_destroy_wants_a_table_and_no_more(kind: str) -> None:
    fake = FakeSession(FakeNftables())
    assert refusal(fake.ask(f"destroy {kind} inet t nothing")) == "ENOENT"
    assert refusal(fake.ask("add table inet t")) == "done"
    assert refusal(fake.ask(f"destroy {kind} inet t nothing")) == "done"
    assert refusal(fake.ask("destroy table inet nothing")) == "done"


def test_what_is_not_known_is_not_passed_over() -> None:
    fake = FakeNftables()
    fake.run(BEFORE)
    for words in (
        "add table ip t",
        "add rule inet t free meta mark 1 accept",
        "add rule inet t free ip saddr 10.0.0.1 masquerade",
        "add set inet t s { typeof ip saddr; flags interval; }",
        "add set inet t s { typeof ip saddr; timeout 5s; }",
        "add element inet t asked { 10.0.0.3 timeout 5s }",
        "rename chain inet t free other",
        "table inet t {",
    ):
        with pytest.raises(Unmodelled):
            fake.run(words)


@pytest.mark.kernel
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_random_transactions(pair: Pair, data: st.DataObject) -> None:
    pair.restart()
    for text in data.draw(transactions(pair.verbs)):
        try:
            event(pair.agree(text))
        except Unmodelled:
            event("not modelled")
