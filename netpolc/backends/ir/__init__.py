"""The tuples of a Program as JSON that people can read and diff; its format is docs/ir.md.

Comes in: a `Program`. Goes out: text, the same for the same snapshot whatever order its files had,
with every identity and every rule on a line of its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from netpolc.backends.form import Emit, Form
from netpolc.core.cluster import unread_kinds
from netpolc.core.foreign import to_json
from netpolc.core.ir import ANY, Any_
from netpolc.core.nets import Protocol, Ranges, Span, format_address, format_ports, format_span
from netpolc.core.program import Combination, Identity, Program, ResolvedRule, Stage

VERSION = 1


def emit(program: Program) -> str:
    """The Program as a JSON document."""
    return "".join(
        (
            f'{{\n  "version": {VERSION},\n  "identities": [',
            _block(map(_identity, program.identities), 4),
            '],\n  "combinations": [',
            _block(map(_combination, program.combinations), 4),
            "]",
            _tried(program),
            _unread(program),
            "\n}\n",
        )
    )


def _tried(program: Program) -> str:
    """What audited policies would make; left out where there are none."""
    if not program.tried:
        return ""
    return f',\n  "tried": [{_block(map(_combination, program.tried), 4)}]'


def _unread(program: Program) -> str:
    """Policies that are not in the tuples; left out where there are none."""
    return f',\n  "unread": {to_json(unread_kinds(program.unread))}' if program.unread else ""


def _block(lines: Iterable[str], indent: int) -> str:
    """Entries of a list, one a line (or one a paragraph), closed at its owner's indentation."""
    margin = "\n" + " " * indent
    body = ("," + margin).join(lines)
    return f"{margin}{body}\n{' ' * (indent - 2)}" if body else ""


def _json(value: object) -> str:
    return json.dumps(value, separators=(", ", ": "))


def _identity(identity: Identity) -> str:
    addresses = sorted(address for pod in identity.pods for address in pod.addresses)
    return _json(
        {
            "identity": identity.number,
            "pods": [pod.key for pod in identity.pods],
            "addresses": [format_address(address) for address in addresses],
            "ports": [
                f"{Protocol(proto).name} {number} {name}" for name, proto, number in identity.ports
            ],
        }
    )


def _combination(combination: Combination) -> str:
    head = f'{{"direction": "{combination.direction}", "subjects": {sorted(combination.subjects)}'
    return f'{head}, "tiers": [{_block(map(_tier, combination.tiers), 6)}]}}'


def _tier(tier: Stage) -> str:
    policies = _json([str(origin) for origin in tier.policies])
    head = f'{{"tier": "{tier.tier.name}", "default": "{tier.default.name}", "policies": {policies}'
    return f'{head}, "rules": [{_block(map(_rule, tier.rules), 8)}]}}'


def _rule(rule: ResolvedRule) -> str:
    match = rule.match
    return _json(
        {
            "action": rule.action.name,
            "identities": "any" if match.identities is ANY else sorted(match.identities),
            "networks": _spans(match.networks, format_span),
            "ports": _spans(match.ports, format_ports),
            "origin": str(rule.origin),
        }
    )


def _spans(ranges: Ranges | Any_, form: Callable[[Span], str]) -> str | list[str]:
    return "any" if ranges is ANY else [form(span) for span in ranges]


def _open(program: Program) -> Emit:
    return lambda node, options: emit(program)


FORMS = (Form("ir", "the resolved tuples as JSON", _open, per_node=False),)
