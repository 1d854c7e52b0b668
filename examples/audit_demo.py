"""`make audit-demo`: a million records of the three-tier example, audited.

In: nothing. Out: a log of Hubble's lines below build/, what `netpolc audit` says of it, what a
proposed change would cut, and the policies that `netpolc recommend` writes for it. The log is the
same each time.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from time import monotonic

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "three-tier"
RECORDS = 1_000_000
LOG = ROOT / "build" / "audit-demo" / "flows.json"
_PODS = {
    "frontend-1": "10.244.1.11",
    "frontend-2": "10.244.2.12",
    "backend-1": "10.244.1.21",
    "backend-2": "10.244.1.22",
    "database-1": "10.244.1.31",
    "coredns": "10.244.1.53",
    "client": "10.244.1.61",
}
_SPACES = {"coredns": "kube-system", "client": "other"}
_TRAFFIC = (
    # of a thousand, source, destination, protocol, port, verdict
    (400, "outside", "frontend", "TCP", 80, "FORWARDED"),
    (300, "frontend", "backend", "TCP", 8080, "FORWARDED"),
    (200, "backend", "database", "TCP", 5432, "FORWARDED"),
    (90, "frontend", "coredns", "UDP", 53, "FORWARDED"),
    (9, "client", "backend", "TCP", 8080, "DROPPED"),
    (1, "client", "database", "TCP", 5432, "FORWARDED"),
)
COMMANDS = (
    "audit {log} --policies examples/three-tier",
    "audit {log} --policies examples/three-tier/policies.yaml --against examples/proposed.yaml "
    "--with examples/three-tier/pods.yaml --with examples/three-tier/namespaces.yaml",
    "recommend {log} --policies examples/three-tier --max-cidrs 4 --file {folder}/recommended.yaml",
)


def lines(count: int) -> Iterator[str]:
    """Records of the traffic, of a few minutes, as Hubble writes them."""
    random = Random(7)
    kinds = [own[1:] for own in _TRAFFIC for _ in range(own[0])]
    for number in range(count):
        source, destination, protocol, port, verdict = random.choice(kinds)
        start, src = _end(random, source)
        end, dst = _end(random, destination)
        second, micro = divmod(number * 300, 1_000_000)
        yield (
            f'{{"flow":{{"time":"2026-11-29T10:{second // 60:02}:{second % 60:02}.{micro:06}Z",'
            f'"verdict":"{verdict}","IP":{{"source":"{src}","destination":"{dst}"}},'
            f'"l4":{{"{protocol}":{{"source_port":{32768 + number % 28000},'
            f'"destination_port":{port}}}}},"source":{start},"destination":{end},'
            '"Type":"L3_L4","node_name":"node-a","traffic_direction":"INGRESS",'
            '"is_reply":false}}\n'
        )


def _end(random: Random, kind: str) -> tuple[str, str]:
    if kind == "outside":
        return '{"labels":["reserved:world"]}', f"203.0.113.{random.randrange(256)}"
    name = random.choice([own for own in _PODS if own.startswith(kind)])
    space = _SPACES.get(name, "production")
    return f'{{"namespace":"{space}","pod_name":"{name}"}}', _PODS[name]


def write_log(path: Path, count: int = RECORDS) -> None:
    """The log, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as out:
        out.writelines(lines(count))


def main() -> int:
    """Write the log and run the commands; 0 when each did what the policies make of it."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    log = LOG.relative_to(ROOT)
    write_log(LOG, count)
    print(f"wrote {count} records, {LOG.stat().st_size >> 20} MiB, to {log}")
    codes = []
    for command in COMMANDS:
        text = command.format(log=log, folder=log.parent)
        print(f"\n$ netpolc {text}", flush=True)
        begin = monotonic()
        done = subprocess.run([sys.executable, "-m", "netpolc", *shlex.split(text)], cwd=ROOT)
        print(f"({monotonic() - begin:.1f} s)", flush=True)
        codes.append(done.returncode)
    # A leak is found, the change cuts traffic, every flow is admitted by what is recommended.
    return 0 if codes == [1, 1, 0] else 1


if __name__ == "__main__":
    sys.exit(main())
