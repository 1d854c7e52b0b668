"""What goes wrong between netpolc and an API server."""

from __future__ import annotations

import msgspec

from netpolc.core.errors import SystemRefusal

EXPIRED = frozenset({"Expired", "Gone"})
"""`reason` of what asks for a version that is no longer known (410)."""
TOO_LARGE = "ResourceVersionTooLarge"
"""`details.causes[].reason` of what asks for a version that is not there yet (504)."""
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for what is no JSON, of other types, or too deep."""


class Unreachable(SystemRefusal):
    """No answer: nobody listens, the connection broke, or no certificate could be trusted."""


class Silent(Unreachable):
    """Nothing came in time, though the connection stands."""


class ApiRefusal(SystemRefusal):
    """An answer that is no success, with what its Status says.

    `retry_after` is in seconds, 0 where the server names no time; `rest` is the token that goes on
    with an inconsistent list, where one is offered.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        retry_after: float = 0.0,
        causes: tuple[str, ...] = (),
        rest: str = "",
    ) -> None:
        super().__init__(message)
        self.code, self.reason, self.retry_after = code, reason, retry_after
        self.causes, self.rest = causes, rest

    @property
    def is_expired(self) -> bool:
        """Whether the version that was asked for is no longer known."""
        return self.code == 410 or self.reason in EXPIRED

    @property
    def is_too_large(self) -> bool:
        """Whether the version that was asked for is not there yet: a restored or a slow server."""
        return self.code == 504 and TOO_LARGE in self.causes

    @property
    def is_of_server(self) -> bool:
        """Whether the server as a whole, or what stands before it, cannot answer now."""
        return self.code in (429, 502, 503, 504) and not self.is_too_large
