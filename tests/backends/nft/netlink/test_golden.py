"""What netpolc sends is what libnftables sends of the same table's text, captured here and now.

In: rulesets of scenarios, by every option that changes expressions. Out: the same messages, byte by
byte, but for three things that mean nothing, and are taken out of both before they are compared:
names of sets by number, `op` of a bitwise expression where it is the default, and two habits of nft
1.0.6 (a range as two comparisons, `byteorder` of one byte).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from tests.backends.nft.netlink.tables import INPUTS, OPTIONS, replacement, ruleset
from tests.helpers.lab import Router
from tests.helpers.nft_capture import captured

pytestmark = pytest.mark.kernel
RULE, SET, ELEMENTS = 6, 9, 12
Tree = list[tuple[int, "bytes | Tree"]]


def tree(content: bytes) -> Tree:
    """Attributes as they lie: a reader of its own, which knows no message."""
    found: Tree = []
    while content:
        length, kind = struct.unpack_from("=HH", content)
        inner = content[4:length]
        found.append((kind & 0x3FFF, tree(inner) if kind & 0x8000 else inner))
        content = content[length + 3 & ~3 :]
    return found


def of(own: Tree, kind: int) -> object:
    return next((value for number, value in own if number == kind), None)


def without(own: Tree, *kinds: int) -> Tree:
    return [entry for entry in own if entry[0] not in kinds]


def expressions(body: Tree) -> Iterator[tuple[str, Tree]]:
    listed = of(body, 4)
    assert isinstance(listed, list)
    for _, expression in listed:
        assert isinstance(expression, list)
        name, data = of(expression, 1), of(expression, 2)
        assert isinstance(name, bytes)
        assert isinstance(data, list)
        yield name.rstrip(b"\0").decode(), data


def rule(body: Tree) -> object:
    """A rule, without what means nothing."""
    found: list[tuple[str, Tree]] = []
    for name, data in expressions(body):
        if name == "byteorder" and (of(data, 4), of(data, 5)) == (b"\0\0\0\1", b"\0\0\0\2"):
            continue
        own = without(data, 6) if name == "bitwise" and of(data, 6) == bytes(4) else data
        own = without(own, 4) if name == "lookup" else own
        if found and name == "cmp" and of(own, 2) == b"\0\0\0\3":
            before, low = found[-1]
            if before == "cmp" and of(low, 2) == b"\0\0\0\5":  # at least, and then at most
                register, first, last = of(own, 1), of(low, 3), of(own, 3)
                assert isinstance(first, list)
                assert isinstance(last, list)
                assert isinstance(register, bytes)
                found[-1] = "range", [(1, register), (2, bytes(4)), (3, first), (4, last)]
                continue
        found.append((name, own))
    return without(body, 4), found


def shown(messages: list[tuple[int, bytes]]) -> list[object]:
    """Messages in the order of their kinds; those about elements, by set."""
    found: list[object] = []
    elements: dict[object, list[object]] = {}
    for kind, body in messages:
        own = tree(body)
        if kind == RULE:
            found.append((kind, rule(own)))
        elif kind == ELEMENTS:
            listed = of(own, 3)
            assert isinstance(listed, list)
            elements.setdefault(of(own, 2), []).extend(value for _, value in listed)
        else:
            found.append((kind, without(own, 10) if kind == SET else sorted(own, key=str)))
    return [
        *sorted(found, key=lambda own: own[0] if isinstance(own, tuple) else 0),
        *sorted((str(name), sorted(map(str, own))) for name, own in elements.items()),
    ]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("name", INPUTS)
def test_the_messages_are_those_of_libnftables(name: str, options: str, router: Router) -> None:
    own = ruleset(INPUTS[name], OPTIONS[options])
    theirs = shown([(sent.kind, sent.body) for sent in captured(router, own.text())])
    ours = shown([(sent.kind, sent.body) for sent in replacement(own).messages()])
    assert len(ours) > 20
    assert ours == theirs
