"""An agent whose events a test makes, in a namespace of its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from netpolc.agent.enforcer import Enforcer
from netpolc.agent.inbox import Inbox
from netpolc.agent.loop import Agent
from netpolc.agent.running import Duty
from netpolc.agent.telling.log import LogLines
from netpolc.agent.telling.report import Report
from netpolc.apiserver import Changed, Listed
from netpolc.backends.nft import Options
from netpolc.live import KINDS, Live
from tests.helpers.lab import Router
from tests.helpers.manifests import Manifest, namespace, node, pod, policy

NODE = "node-a"
SERVER = policy(
    "x/server",
    podSelector={"matchLabels": {"app": "server"}},
    ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}]}],
)


def cluster(clients: int = 3) -> list[Manifest]:
    """A server, and clients that its policy admits."""
    own = node(NODE, "192.0.2.10")
    own["spec"] = {"podCIDRs": ["10.0.0.0/23"]}
    pods = [client(number) for number in range(1, clients + 1)]
    return [namespace("x"), own, pod("x/server", "10.0.0.1", app="server"), *pods, SERVER]


def client(number: int) -> Manifest:
    """A pod that the policy admits."""
    return pod(f"x/client-{number}", f"10.0.1.{number}", app="client")


class Stage:
    """The agent, what it is told, and what it said."""

    def __init__(self, router: Router, folder: Path | None, options: Options, **more: Any) -> None:
        clock = more.get("clock", time.monotonic)
        self.router, self.lines, self.inbox = router, list[str](), Inbox(clock)
        self.report = Report(NODE, LogLines(self.lines.append))
        self.live = Live(NODE, options)
        self.enforcer = router.call(lambda: Enforcer("netpolc", folder, clock))
        kinds = more.pop("kinds", KINDS)
        self.agent = Agent(self.live, self.enforcer, self.inbox, self.report, kinds=kinds, **more)

    def list_all(self, objects: Iterable[Manifest], *, but: Iterable[str] = ()) -> None:
        """Every kind is listed, as a reflector tells it."""
        found = list(objects)
        for kind in KINDS:
            if kind not in but:
                own = [document for document in found if document["kind"] == kind]
                self.inbox.put(Listed(kind, own, "1"))

    def change(self, *documents: Manifest) -> None:
        """Objects are added or modified."""
        for own in documents:
            self.inbox.put(Changed(own["kind"], own))

    def until(self, holds: Callable[[], object], seconds: float = 20.0) -> None:
        """Let the agent run until something holds."""
        until = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < until, "\n".join(self.lines)
            self.router.call(self.agent.step)
            time.sleep(max(0.0, min(0.01, self.agent.due() - time.monotonic())))

    def elements(self, name: str) -> str:
        """A set or map as nft lists it."""
        return self.router.run("nft", "list", "set", "inet", "netpolc", name)


@contextmanager
def staged(
    router: Router,
    folder: Path | None = None,
    options: Options | None = None,
    duty: str = "",
    **more: Any,
) -> Iterator[Stage]:
    """A stage, cleaned up at the end; with `duty` one that takes the duty of a table."""
    own = router.call(lambda: Duty(duty)) if duty else None
    stage = Stage(router, folder, options or Options(), duty=own, **more)
    with closing(stage.inbox), closing(stage.enforcer):
        try:
            yield stage
        finally:
            if own is not None:
                own.leave()
