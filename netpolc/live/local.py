"""The pods of the node itself as they come and go, each with the identity that stands for its kind.

Comes in: the pods that the node had, then pods with their kinds. Goes out: those it has now, and
the pods that are unlike all: nobody has arranged yet what judges them. Nothing is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from netpolc.core.cluster import Pod
from netpolc.core.ir import Key
from netpolc.live.scope import ClassKey, by_space

OPEN = -1
"""The identity of pods that no policy selects: no rule knows it."""


class LocalPods:
    """The pods of a node; `numbers` are the identities of their kinds, of some without pods, too.

    `selecting` says which policies select pods of a kind; None where more than those decide.
    """

    def __init__(
        self,
        pods: Iterable[tuple[Pod, ClassKey]],
        numbers: Mapping[ClassKey, int],
        selecting: Callable[[ClassKey], tuple[Key, ...]] | None,
    ) -> None:
        found = list(pods)
        self._selecting, self._numbers = selecting, dict(numbers)
        self._kinds = Counter(key for _, key in found)
        self._pods = {(pod.namespace, pod.name): (pod, numbers[key]) for pod, key in found}
        self.spaces: dict[str, list[Mapping[str, str]]] = by_space(
            (namespace, labels) for namespace, labels, _ in numbers if namespace
        )
        """The labels of all kinds there are or were, by namespace."""
        self.addresses = {address for pod, _ in found for address in pod.addresses}
        self.unlike: dict[tuple[str, str], tuple[Pod, ClassKey]] = {}
        """Pods that other policies select than any that are here or were."""
        self.other_kinds = False
        """Whether the first of a kind came, or the last left, since somebody set this back."""

    @property
    def identities(self) -> set[int]:
        """Those of all kinds there are or were."""
        return set(self._numbers.values())

    @property
    def present(self) -> set[int]:
        """Those of kinds that there are pods of."""
        return {own for kind, own in self._numbers.items() if self._kinds[kind] > 0}

    @property
    def judged(self) -> list[tuple[Pod, int]]:
        """The pods with an address, each with its identity."""
        return [own for own in self._pods.values() if own[0].addresses]

    def were_in(self, namespace: str) -> bool:
        """Whether pods of the node are in a namespace, or were since the node was compiled."""
        return namespace in self.spaces

    def settle(self, pod: Pod, key: ClassKey, there: bool) -> None:
        """A pod comes or goes."""
        name = pod.namespace, pod.name
        identity = self._numbers.get(key)
        if identity is None:
            identity = self._alike(key)
        if identity is None:
            if there:
                self.unlike[name] = pod, key
            else:
                self.unlike.pop(name, None)
            return
        if there:
            self._pods[name] = pod, identity
            self.addresses.update(pod.addresses)
            self._kinds[key] += 1
            self.other_kinds |= self._kinds[key] == 1
            return
        self._pods.pop(name, None)
        self.addresses.difference_update(pod.addresses)
        self._kinds[key] -= 1
        self.other_kinds |= not self._kinds[key]

    def _alike(self, key: ClassKey) -> int | None:
        """The identity of pods of the node that the same policies select as those of a kind that is
        new here, which has it then, too: `OPEN` if none selects them, None if there are none.
        """
        selecting, (namespace, labels, ports) = self._selecting, key
        if selecting is None or not namespace:  # closed pods have none
            return None
        wanted = selecting(key)
        found = None if wanted else OPEN
        for own, identity in self._numbers.items() if wanted else ():
            if own[0] and own[2] == ports and selecting(own) == wanted:
                found = identity
                break
        if found is not None:
            self._numbers[key] = found
            self.spaces.setdefault(namespace, []).append(dict(labels))
        return found
