"""The ports that some of many rules admit together, while a few of the rules come and go.

Comes in: the ports of each rule, then which rules are meant, as a bit for each. Goes out: the union
of their ports. Places next to each other mostly differ in a few rules, so the work follows what
changed and what comes out, not the number of rules. Nothing is refused.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from netpolc.core.nets import Ranges, Span, numbers

_EMPTY, _PART, _FULL = range(3)


class Union:
    """A segment tree over the pieces that the sets cut the line into.

    A node counts the spans that cover all of its pieces and no parent of it, and knows whether
    nothing, a part or all of them is covered. Node 1 is the root, `2 * n` and `2 * n + 1` are the
    halves of node `n`, the leaves are the pieces in order.
    """

    def __init__(self, sets: Sequence[Ranges]) -> None:
        self._edges = sorted({edge for own in sets for span in own for edge in _ends(span)})
        self._leaves = 1 << max(0, len(self._edges) - 1).bit_length()
        self._counts = [0] * (2 * self._leaves)
        self._covered = [_EMPTY] * (2 * self._leaves)
        self._sets = [tuple(map(self._pieces, own)) for own in sets]
        self._members = 0

    def of(self, members: int) -> Ranges:
        """The union of the sets of these numbers."""
        for number in numbers(self._members ^ members):
            for begin, end in self._sets[number]:
                self._add(begin, end, 1 if members >> number & 1 else -1)
        self._members = members
        found: list[Span] = []
        for begin, end in self._runs(1, 0, self._leaves):
            first, last = self._edges[begin], self._edges[end] - 1
            if found and found[-1][1] + 1 == first:
                found[-1] = found[-1][0], last
            else:
                found.append((first, last))
        return Ranges(tuple(found))

    def _pieces(self, span: Span) -> tuple[int, int]:
        first, end = (bisect_left(self._edges, edge) for edge in _ends(span))
        return first, end

    def _add(self, begin: int, end: int, count: int) -> None:
        left, right = begin + self._leaves, end + self._leaves
        changed = []
        while left < right:
            if left & 1:
                changed.append(left)
                left += 1
            if right & 1:
                right -= 1
                changed.append(right)
            left >>= 1
            right >>= 1
        for node in changed:
            self._counts[node] += count
            self._refresh(node)

    def _refresh(self, node: int) -> None:
        """Look at a node again and, where that changes it, at those above."""
        while node:
            if self._counts[node]:
                covered = _FULL
            elif node >= self._leaves:
                covered = _EMPTY
            else:
                halves = self._covered[2 * node], self._covered[2 * node + 1]
                covered = halves[0] if halves[0] == halves[1] else _PART
            if covered == self._covered[node]:
                return
            self._covered[node] = covered
            node >>= 1

    def _runs(self, node: int, begin: int, size: int) -> Iterator[tuple[int, int]]:
        """The pieces that are covered below a node, in order: neighbours may come apart."""
        if self._covered[node] == _FULL:
            yield begin, begin + size
        elif self._covered[node] == _PART:
            yield from self._runs(2 * node, begin, size // 2)
            yield from self._runs(2 * node + 1, begin + size // 2, size // 2)


def _ends(span: Span) -> tuple[int, int]:
    return span[0], span[1] + 1
