"""Switches for what goes wrong between an API server and its clients."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(eq=False)
class Chaos:
    """Everything is off at first. Fields may be set while requests are answered."""

    silent: bool = False
    """Watches are held open and told nothing, bookmarks neither."""
    forbidden: set[str] = field(default_factory=set)
    """Plurals of resources that RBAC forbids."""
    roles: dict[str, list[dict[str, list[str]]]] = field(default_factory=dict)
    """The rules of a user's ClusterRoles; who is not among them may do everything."""
    missing: set[str] = field(default_factory=set)
    """Plurals of resources that the server does not have (yet)."""
    watch_list: str = "on"
    """`sendInitialEvents`: `on`, `forbidden` (422: it is off), `ignored` (by older servers)."""
    pace: float = 1.0
    """Seconds that a second of `timeoutSeconds` takes."""
    bookmarks: bool = True
    bookmark_seconds: float = 60.0
    cut_lists: int = 0
    """How many of the next lists are cut in the middle of a chunk."""
    page: int = 0
    """Items a page has at most, whatever is asked for; 0 for no such limit."""
    compact_between_pages: bool = False
    gzip_from: int = 128 * 1024
    """Bytes from which on an answer is compressed, if the client takes that."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._refusals: list[tuple[int, str]] = []

    def refuse(self, code: int, retry_after: str = "", times: int = 1) -> None:
        """The next requests are answered with this code, and with Retry-After if it is given."""
        with self._lock:
            self._refusals += [(code, retry_after)] * times

    def refusal(self) -> tuple[int, str] | None:
        """Whether this request is to be refused, and how."""
        with self._lock:
            return self._refusals.pop(0) if self._refusals else None

    def forbids(self, user: str, verb: str, group: str, plural: str) -> bool:
        """Whether RBAC forbids it to a user."""
        wanted = {"verbs": verb, "apiGroups": group, "resources": plural}
        rules = self.roles.get(user)
        return plural in self.forbidden or (
            rules is not None
            and not any(all(own in rule[name] for name, own in wanted.items()) for rule in rules)
        )

    def cuts_list(self) -> bool:
        """Whether this list is to be cut."""
        with self._lock:
            cuts, self.cut_lists = self.cut_lists > 0, max(0, self.cut_lists - 1)
            return cuts
