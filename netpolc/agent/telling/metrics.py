"""Numbers about the agent, in the text form of Prometheus (exposition format 0.0.4).

Comes in: numbers from any thread, by names that `METRICS` lists. Goes out: the text. The form is
written here, and not by prometheus_client, whose import costs more than everything an agent does in
a second, and which would have threads and processes of its own to count.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
METRICS = {
    "netpolc_build_info": (GAUGE, "1, with the version."),
    "netpolc_ready": (GAUGE, "1 once what the API server says is in force."),
    "netpolc_events_total": (COUNTER, "Events of the API server, by kind."),
    "netpolc_lists_total": (COUNTER, "Whole lists of a kind that were taken."),
    "netpolc_trouble_total": (COUNTER, "Requests to the API server that failed, by kind."),
    "netpolc_absent": (GAUGE, "1 for an optional kind that the server lacks."),
    "netpolc_event_to_kernel_seconds": (
        HISTOGRAM,
        "From the oldest event of a change until the kernel had it.",
    ),
    "netpolc_sync_seconds": (HISTOGRAM, "Time to make and load what changed."),
    "netpolc_sync_errors_total": (COUNTER, "Changes that failed and are tried again."),
    "netpolc_last_sync_success_timestamp_seconds": (GAUGE, "When the table was last made right."),
    "netpolc_transactions_total": (COUNTER, "Transactions sent, by what they were."),
    "netpolc_table_replacements_total": (COUNTER, "Tables replaced as a whole, by reason."),
    "netpolc_foreign_changes_total": (COUNTER, "Changes of the table by others."),
    "netpolc_repairs_total": (COUNTER, "Tables brought back after such a change."),
    "netpolc_selfcheck_total": (COUNTER, "Comparisons with what is made from scratch, by result."),
    "netpolc_objects_refused": (GAUGE, "Objects that are not enforced as written, by kind."),
    "netpolc_object_events_total": (COUNTER, "Events on such objects (--events), by result."),
    "netpolc_standby": (GAUGE, "1 while another agent of this node enforces."),
    "netpolc_resident_memory_bytes": (GAUGE, "Memory of the agent."),
}
"""Type and meaning of each; counters that are not named here come from the table itself."""
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds in seconds."""

_Labels = tuple[tuple[str, str], ...]


class Metrics:
    """All numbers of one agent; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, dict[_Labels, float]] = {}
        self._observed: dict[str, list[float]] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Let a counter grow."""
        with self._lock:
            own = self._of(name, COUNTER)
            key = tuple(sorted(labels.items()))
            own[key] = own.get(key, 0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge, or a counter that is kept elsewhere."""
        with self._lock:
            self._of(name, GAUGE, COUNTER)[tuple(sorted(labels.items()))] = value

    def replace(self, name: str, values: dict[str, float], label: str) -> None:
        """Set a gauge for every value of a label there is; others are gone."""
        with self._lock:
            own = self._of(name, GAUGE)
            own.clear()
            own.update({((label, key),): value for key, value in values.items()})

    def observe(self, name: str, seconds: float) -> None:
        """Count a duration."""
        with self._lock:
            if METRICS[name][0] != HISTOGRAM:
                raise ValueError(f"{name} is no histogram")
            counts = self._observed.setdefault(name, [0.0] * (len(BUCKETS) + 2))
            for at, bound in enumerate(BUCKETS):
                counts[at] += seconds <= bound
            counts[-2] += 1
            counts[-1] += seconds

    def text(self) -> str:
        """Every number there is."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines())

    def _of(self, name: str, *kinds: str) -> dict[_Labels, float]:
        if METRICS[name][0] not in kinds:
            raise ValueError(f"{name} is a {METRICS[name][0]}")
        return self._values.setdefault(name, {})

    def _lines(self) -> Iterator[str]:
        for name, (kind, about) in METRICS.items():
            values, counts = self._values.get(name), self._observed.get(name)
            if not values and counts is None:
                continue
            yield f"# HELP {name} {about}"
            yield f"# TYPE {name} {kind}"
            for labels, value in sorted((values or {}).items()):
                yield f"{name}{_braces(labels)} {_number(value)}"
            if counts is not None:
                for bound, count in zip(BUCKETS, counts, strict=False):
                    yield f'{name}_bucket{{le="{bound:g}"}} {_number(count)}'
                yield f'{name}_bucket{{le="+Inf"}} {_number(counts[-2])}'
                yield f"{name}_sum {_number(counts[-1])}"
                yield f"{name}_count {_number(counts[-2])}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _braces(labels: _Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
