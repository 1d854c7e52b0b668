"""Shared decoding of API objects: typed access to fields, with the API server's messages.

Comes in: plain values and the field path they stand at. Goes out: checked values, or None after the
problem was recorded; decoding goes on, so that one run reports everything. Source of rules and
texts: Kubernetes `apimachinery/pkg/util/validation`, `pkg/apis/networking/validation`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from netpolc.core.errors import ObjectProblems, Path
from netpolc.core.ir import (
    AUDIT,
    SELECT_ALL,
    WAIVER,
    Operator,
    Origin,
    Requirement,
    Selector,
    Source,
    Waived,
)

_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)
_SUBDOMAIN = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII
)
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_ALPHANUMERIC = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character"
)
_QUALIFIED = (
    f"{_ALPHANUMERIC} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
    "and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or "
    "'12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_DNS_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_JSON_TYPES = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer"}


def quoted(value: object) -> str:
    """A value as it stands in a message: strings in double quotes, escaped, never a raw newline."""
    try:
        text = json.dumps(value, default=str)
    except RecursionError:  # it could be read, a few calls further out
        text = "nested too deeply to be shown"
    return text if len(text) <= 200 else f"{text[:197]}..."


def invalid(value: object, detail: str) -> str:
    """`Invalid value: …`, as `field.Invalid` prints it."""
    return f"Invalid value: {quoted(value)}: {detail}"


def mistyping(value: object, expected: str) -> str:
    """What is said of a value of the wrong JSON type."""
    found = "null" if value is None else _JSON_TYPES.get(type(value), type(value).__name__)
    return f"Invalid value: {quoted(value)}: must be of type {expected}, not {found}"


def subdomain_problems(name: str) -> Iterator[str]:
    """Why a name is no DNS-1123 subdomain (names of pods, nodes, policies)."""
    if len(name) > 253:
        yield "must be no more than 253 bytes"
    if not _SUBDOMAIN.fullmatch(name):
        yield _SUBDOMAIN_TEXT


def is_subdomain(name: str) -> bool:
    """Whether `subdomain_problems` has nothing to say."""
    return len(name) <= 253 and _SUBDOMAIN.fullmatch(name) is not None


def dns_label_problems(name: str) -> Iterator[str]:
    """Why a name is no DNS-1123 label (namespaces)."""
    if len(name) > 63:
        yield "must be no more than 63 bytes"
    if not _DNS_LABEL.fullmatch(name):
        yield _DNS_LABEL_TEXT


@lru_cache(maxsize=1 << 12)
def label_key_problems(key: str) -> tuple[str, ...]:
    """Why a key is no qualified name, `[prefix/]name`; few keys are in use."""
    return tuple(_label_key_problems(key))


def _label_key_problems(key: str) -> Iterator[str]:
    prefix, slash, name = key.rpartition("/")
    if slash:
        if not prefix:
            yield "prefix part must be non-empty"
        elif "/" in prefix:
            yield (
                f"a qualified name {_QUALIFIED} with an optional DNS subdomain prefix and '/' "
                "(e.g. 'example.com/MyName')"
            )
            return
        else:
            yield from (f"prefix part {text}" for text in subdomain_problems(prefix))
    if not name:
        yield "name part must be non-empty"
    elif len(name) > 63:
        yield "name part must be no more than 63 bytes"
    if not _NAME_PART.fullmatch(name):
        yield f"name part {_QUALIFIED}"


def label_value_problems(value: str) -> Iterator[str]:
    """Why a string is no label value."""
    if len(value) > 63:
        yield "must be no more than 63 bytes"
    if value and not _NAME_PART.fullmatch(value):
        yield _LABEL_VALUE


def is_label_value(value: str) -> bool:
    """Whether `label_value_problems` has nothing to say."""
    return not value or (len(value) <= 63 and _NAME_PART.fullmatch(value) is not None)


@dataclass(frozen=True, slots=True)
class Fields:
    """Typed access to the fields of one object; if not strict, unknown fields are warnings.

    `hints` say what to write instead of fields that other versions of an API have. `doubts` take
    what is wrong inside of selectors that API servers do not look into, those of custom resources.
    `unknown`, where it is given, takes unknown fields and what is said of them in place of a
    warning.
    """

    problems: ObjectProblems
    strict: bool
    hints: Mapping[str, str] = field(default_factory=dict)
    doubts: ObjectProblems | None = None
    unknown: list[tuple[Path, str]] | None = None

    def mapping(self, value: object, path: Path, known: Collection[str]) -> dict[str, Any] | None:
        """A map whose keys are all in `known`; None when it is no map."""
        if not isinstance(value, dict):
            self.mistyped(value, path, "object")
            return None
        for name in value:
            if name in known:
                continue
            hint = f": {self.hints[name]}" if name in self.hints else ""
            said = f'unknown field "{path / name}"{hint}'
            if self.strict:
                self.problems.error(path / name, said, at_key=True)
            elif self.unknown is not None:
                self.unknown.append((path / name, said))
            else:
                self.problems.warning(path / name, said, at_key=True)
        return value

    def sequence(self, value: object, path: Path) -> list[Any]:
        """A list; missing and null are empty."""
        if value is None:
            return []
        if not isinstance(value, list):
            self.mistyped(value, path, "array")
            return []
        return value

    def text(self, value: object, path: Path) -> str | None:
        """A string; null is None."""
        if value is None or isinstance(value, str):
            return value
        self.mistyped(value, path, "string")
        return None

    def integer(self, value: object, path: Path) -> int | None:
        """An integer, also written `80.0`; null is None."""
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        if isinstance(value, float) and value.is_integer():
            return int(value)
        self.mistyped(value, path, "integer")
        return None

    def mistyped(self, value: object, path: Path, expected: str) -> None:
        """Record a value of the wrong JSON type."""
        self.problems.error(path, mistyping(value, expected))

    def selector(self, value: object, path: Path) -> Selector:
        """A `LabelSelector`; missing, null and empty select everything."""
        if value is None:
            return SELECT_ALL
        known = usual_selector(value)
        if known is not None:
            return known
        selector = self.mapping(value, path, ("matchLabels", "matchExpressions"))
        if not selector:
            return SELECT_ALL
        found = list(self._match_labels(selector.get("matchLabels"), path / "matchLabels"))
        expressions = path / "matchExpressions"
        for number, item in enumerate(self.sequence(selector.get("matchExpressions"), expressions)):
            requirement = self._match_expression(item, expressions / number)
            if requirement is not None:
                found.append(requirement)
        return Selector(frozenset(found))

    def texts(self, value: object, path: Path) -> dict[str, str]:
        """Annotations or labels, refused if they are no strings, as API servers do; null is the
        empty string.
        """
        if value is not None and not isinstance(value, dict):
            self.mistyped(value, path, "object")
        own = value if isinstance(value, dict) else {}
        for key, text in own.items():
            if text is not None and not isinstance(text, str) and key != AUDIT:
                self.mistyped(text, path.key(key), "string")
        return {key: text for key, text in own.items() if isinstance(text, str)}

    @property
    def _selectors(self) -> ObjectProblems:
        return self.problems if self.doubts is None else self.doubts

    def _match_labels(self, value: object, path: Path) -> Iterator[Requirement]:
        if value is None:
            return
        if not isinstance(value, dict):
            self.mistyped(value, path, "object")
            return
        for key, label in value.items():
            for detail in label_key_problems(key):
                self._selectors.error(path, invalid(key, detail))
            if not isinstance(label, str):
                self.mistyped(label, path.key(key), "string")
                continue
            for detail in label_value_problems(label):
                self._selectors.error(path, invalid(label, detail))
            yield Requirement(key, Operator.IN, frozenset((label,)))

    def _match_expression(self, value: object, path: Path) -> Requirement | None:
        expression = self.mapping(value, path, ("key", "operator", "values"))
        if expression is None:
            return None
        key = self.text(expression.get("key"), path / "key") or ""
        for detail in label_key_problems(key):
            self._selectors.error(path / "key", invalid(key, detail))
        values = self._values(expression.get("values"), path / "values")
        name = self.text(expression.get("operator"), path / "operator") or ""
        try:
            operator = Operator(name)
        except ValueError:
            self._selectors.error(path / "operator", invalid(name, "not a valid selector operator"))
            return None
        if operator in (Operator.IN, Operator.NOT_IN):
            if not values:
                text = "Required value: must be specified when `operator` is 'In' or 'NotIn'"
                self._selectors.error(path / "values", text)
        elif values:
            text = "Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            self._selectors.error(path / "values", text)
        return Requirement(key, operator, frozenset(values))

    def _values(self, value: object, path: Path) -> list[str]:
        values: list[str] = []
        for number, item in enumerate(self.sequence(value, path)):
            text = self.text(item, path / number)
            if text is None:
                if item is None:
                    self.mistyped(item, path / number, "string")
                continue
            for detail in label_value_problems(text):
                self._selectors.error(path / number, invalid(text, detail))
            values.append(text)
        return values


def usual_selector(value: object) -> Selector | None:
    """What most selectors are, labels to match and nothing wrong with them; else None."""
    if not isinstance(value, dict) or len(value) != 1:
        return None
    labels = value.get("matchLabels")
    if not isinstance(labels, dict):
        return None
    try:
        return matching(tuple(labels.items()))
    except TypeError:  # a value that cannot be remembered is no string
        return None


@lru_cache(maxsize=1 << 14)
def matching(labels: tuple[tuple[str, object], ...]) -> Selector | None:
    """The selector of some labels, one for all that ask for the same; None if one is wrong."""
    found = []
    for key, value in labels:
        if not isinstance(value, str) or any(label_value_problems(value)):
            return None
        if label_key_problems(key):
            return None
        found.append(Requirement(key, Operator.IN, frozenset((value,))))
    return Selector(frozenset(found))


DEFAULT_NAMESPACE = "default"
"""Where an object is that names no namespace."""
METADATA_FIELDS = frozenset(
    [
        "annotations",
        "clusterName",
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "finalizers",
        "generateName",
        "generation",
        "labels",
        "managedFields",
        "name",
        "namespace",
        "ownerReferences",
        "resourceVersion",
        "selfLink",
        "uid",
    ]
)
"""`ObjectMeta` of every version: a misspelt `namespace` would mean another namespace."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Name and namespace ("" of what is in none) of an object, and the findings it waives."""

    namespace: str
    name: str
    waived: Waived = frozenset()

    def origin(
        self, kind: str, source: Source, elements: tuple[str | int, ...] = (), called: str = ""
    ) -> Origin:
        """An origin inside this object, for a rule with the name that its author gave it."""
        return Origin(kind, self.namespace, self.name, elements, source, called)


def metadata(
    fields: Fields, value: object, path: Path, *, cluster_scoped: bool = False
) -> Metadata:
    """`metadata.namespace` (missing means `default`) and `metadata.name`, both checked; objects of
    a `cluster_scoped` kind have none, and "" instead.
    """
    if not isinstance(value, dict):
        fields.problems.error(path / "name", "Required value: name or generateName is required")
        return Metadata("" if cluster_scoped else "default", "")
    fields.mapping(value, path, METADATA_FIELDS)
    fields.texts(value.get("annotations"), path / "annotations")
    for key, text in fields.texts(value.get("labels"), path / "labels").items():
        for own, details in ((key, label_key_problems(key)), (text, label_value_problems(text))):
            for detail in details:
                fields.problems.error(path / "labels", invalid(own, detail))
    name = fields.text(value.get("name"), path / "name")
    if not name:
        generated = value.get("generateName")
        reason = f"policies need one; generateName {quoted(generated)} is another at each creation"
        text = reason if generated else "name or generateName is required"
        fields.problems.error(path / "name", f"Required value: {text}")
    for detail in subdomain_problems(name) if name else ():
        fields.problems.error(path / "name", invalid(name, detail))
    namespace = fields.text(value.get("namespace"), path / "namespace")
    for detail in dns_label_problems(namespace) if namespace else ():
        fields.problems.error(path / "namespace", invalid(namespace, detail))
    if cluster_scoped and namespace:
        fields.problems.error(path / "namespace", "Forbidden: not allowed on this type")
    annotations = value.get("annotations")
    waiver = annotations.get(WAIVER) if isinstance(annotations, dict) else None
    space = "" if cluster_scoped else namespace or "default"
    return Metadata(space, name or "", waived(waiver))


def waived(text: object) -> Waived:
    """The codes of a waiver annotation; a missing one waives nothing."""
    if not isinstance(text, str):
        return frozenset()
    return frozenset(filter(None, (code.strip() for code in text.split(","))))
