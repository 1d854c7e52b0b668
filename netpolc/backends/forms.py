"""The forms in which a Program can be written (`netpolc compile -o`): one line a backend."""

from __future__ import annotations

from netpolc.backends import ir, nft
from netpolc.backends.form import Form

BACKENDS: tuple[tuple[Form, ...], ...] = (
    nft.FORMS,
    ir.FORMS,
)


def forms() -> dict[str, Form]:
    """All forms of all backends, by name."""
    return {form.name: form for backend in BACKENDS for form in backend}
