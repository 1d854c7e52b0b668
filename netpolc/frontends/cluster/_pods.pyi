from collections.abc import Callable
from typing import Any, final

import msgspec

from netpolc.frontends.frontend import Gathered
from netpolc.manifests import Document

@final
class ScannedObject:
    @property
    def apiVersion(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def items(self) -> None: ...

def scan(raw: msgspec.Raw, /) -> ScannedObject | None: ...

@final
class PlainPods:
    def __init__(
        self,
        gathered: Gathered,
        hosts: dict[Any, tuple[int, ...]],
        ask_ports: Callable[[Any], Any],
    ) -> None: ...
    def read(self, document: Document, /) -> tuple[str, str] | None: ...
