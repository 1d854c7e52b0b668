from collections.abc import Callable
from typing import Any, final

from netpolc.frontends.frontend import Gathered
from netpolc.manifests import Document

@final
class PlainPods:
    def __init__(
        self,
        gathered: Gathered,
        ports: dict[Any, Any],
        hosts: dict[Any, tuple[int, ...]],
        ask_ports: Callable[[Any], Any],
    ) -> None: ...
    def read(self, document: Document, /) -> tuple[str, str] | None: ...
