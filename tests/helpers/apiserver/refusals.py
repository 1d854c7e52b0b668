"""What the fake API server refuses a request with: a Status, its code and headers."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):
    """An answer that is no success."""

    def __init__(self, code: int, reason: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message
        self.metadata: dict[str, Any] = extra.pop("metadata", {})
        self.details: dict[str, Any] = extra.pop("details", {})
        self.headers: dict[str, str] = extra.pop("headers", {})
        self.status = extra.pop("status", "Failure")

    def document(self) -> dict[str, Any]:
        """As the body of an answer, or the object of an ERROR event."""
        head = {"kind": "Status", "apiVersion": "v1", "metadata": self.metadata}
        own = {"status": self.status, "message": self.message, "reason": self.reason}
        details = {"details": self.details} if self.details else {}
        return {**head, **own, **details, "code": self.code}


def too_large(version: int, current: int) -> Refusal:
    """A list that must not be older than a version which is not there yet."""
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return Refusal(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {version}, current: {current}",
        details={"causes": [cause], "retryAfterSeconds": 1},
        headers={"Retry-After": "1"},
    )


def expired_continue(token: str) -> Refusal:
    """A page of a list whose version is compacted; the token leads to an inconsistent rest."""
    return Refusal(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.",
        metadata={"continue": token},
    )


def too_old(version: int, oldest: int) -> Refusal:
    """A watch from before what is remembered."""
    return Refusal(410, "Expired", f"too old resource version: {version} ({oldest})")


def not_found(plural: str, group: str, name: str) -> Refusal:
    """An object that is not there."""
    full = f"{plural}.{group}" if group else plural
    details = {"name": name, "kind": plural, **({"group": group} if group else {})}
    return Refusal(404, "NotFound", f'{full} "{name}" not found', details=details)


def no_such_path() -> Refusal:
    """A resource that the server does not have: a CRD that is not installed, say."""
    message = "the server could not find the requested resource"
    return Refusal(404, "NotFound", message, details={})


def forbidden(user: str, verb: str, plural: str, group: str, namespace: str) -> Refusal:
    """What RBAC says no to."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = (
        f'{plural}{f".{group}" if group else ""} is forbidden: User "{user}" cannot {verb} '
        f'resource "{plural}" in API group "{group}" {where}'
    )
    return Refusal(403, "Forbidden", message, details={"kind": plural})
