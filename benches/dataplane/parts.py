"""What single rules cost a packet: the figures of `netpolc/backends/nft/lower/cost.py`.

In: a number of rounds. Out: nanoseconds a rule, by a ruleset that has it `COPIES` times against one
that has it not. The rules let every packet go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from statistics import quantiles

from benches.dataplane.frames import Connection
from benches.dataplane.lanes import Lanes, Times
from benches.dataplane.rulesets import text_load
from netpolc.backends.nft import model

COPIES = 16
PORTS = (80, 443, 3306, 5432, 6379, 8080, 8443, 9000, 9090, 9200, 11211, 27017)
_FIRST_SOURCE, _FIRST_OTHER, _FIRST_BLOCK = (
    int(ip_address(text)) for text in ("10.64.0.0", "10.128.0.0", "11.0.0.0")
)


@dataclass(frozen=True, slots=True)
class Part:
    """One way to write a rule, the set or map it needs, and the constant it is the figure of."""

    name: str
    constant: str
    rule: str
    declaration: str = ""


def parts() -> tuple[Part, ...]:
    """The ways that `cost.py` chooses between, and some that were tried."""
    single = [f"tcp . {port} : jump nowhere" for port in PORTS]
    ranges = [*(f"{port} . tcp : jump nowhere" for port in PORTS), "30000-32000 . tcp : drop"]
    protocol, service = "inet_proto . inet_service", "inet_service . inet_proto"
    return (
        Part("inline port, missed", "COMPARISON", "tcp dport 9 drop"),
        Part("inline address, missed", "COMPARISON", "ip saddr 192.0.2.3 drop"),
        Part("inline port range, missed", "RANGE", "tcp dport 20000-30000 drop"),
        Part("inline block, missed", "BLOCK", "ip saddr 192.0.2.0/24 drop"),
        Part("rule of the other family", "", "ip6 saddr 2001:db8::1 drop"),
        Part("set of 16 addresses, missed", "", "ip saddr @s drop", _addresses(16)),
        Part(
            "set of 10,000 addresses, missed", "ADDRESS_SET", "ip saddr @s drop", _addresses(10_000)
        ),
        Part("pipapo set of 5 blocks, missed", "NETWORK_SET", _NETWORK_RULE, _pipapo(5)),
        Part("pipapo set of 500 blocks, missed", "NETWORK_SET", _NETWORK_RULE, _pipapo(500)),
        Part("rbtree set of 5 blocks, missed", "", "ip saddr @s drop", _rbtree(5)),
        Part("rbtree set of 500 blocks, missed", "", "ip saddr @s drop", _rbtree(500)),
        Part("jump and return", "JUMP", "jump nowhere"),
        Part(
            "hash of 12 ports, jump and return",
            "PORT_MAP",
            "meta l4proto . th dport vmap @s",
            _map(f"{protocol} : verdict; {_size(12)}", single),
        ),
        Part(
            "map of 12 ports and a range, jump and return",
            "PORT_RANGE_MAP",
            "th dport . meta l4proto vmap @s",
            _map(f"{service} : verdict; flags interval", ranges),
        ),
        Part(
            "map of 10,000 addresses, jump and return",
            "",
            "ip saddr vmap @s",
            _map(
                f"ipv4_addr : verdict; {_size(10_000)}",
                [f"{at} : jump nowhere" for at in _numbered(_FIRST_SOURCE, 10_000)],
            ),
        ),
    )


_NETWORK_RULE = "ip saddr . meta l4proto @s drop"


def measure(rounds: int) -> list[tuple[Part, float, float, float]]:
    """Each part with the median and the quartiles of its nanoseconds."""
    every = parts()
    loads = {"": text_load(_ruleset(Part("", "", ""), 0))}
    loads.update({part.name: text_load(_ruleset(part, COPIES)) for part in every})
    sources = _numbered(_FIRST_SOURCE, 500)
    connections = [
        Connection.of(source, "10.99.0.1", 32768 + number, 80)
        for number, source in enumerate(sources)
    ]
    with Lanes(loads, loads) as lanes:
        times = lanes.opening(connections, rounds, allowed=True)
    return [(part, *_each(times, part.name)) for part in every]


def _each(times: Times, name: str) -> tuple[float, float, float]:
    pairs = zip(times[name], times[""], strict=True)
    own = [(with_it - without) / COPIES for with_it, without in pairs]
    low, middle, high = quantiles(own, n=4)
    return middle, low, high


def _ruleset(part: Part, copies: int) -> str:
    line = f"    {part.rule}\n"
    return (
        f"table inet parts {{\n{part.declaration}\n  chain nowhere {{\n  }}\n  chain forward {{\n"
        "    type filter hook forward priority filter - 5; policy accept;\n"
        f"    ct state established,related accept\n{copies * line}  }}\n}}\n"
    )


def _addresses(count: int) -> str:
    elements = ", ".join(_numbered(_FIRST_OTHER, count))
    return f"  set s {{\n    type ipv4_addr; {_size(count)}; elements = {{ {elements} }}\n  }}"


def _pipapo(count: int) -> str:
    elements = ", ".join(f"{block} . 0-255" for block in _blocks(count))
    kind = "ipv4_addr . inet_proto; flags interval"
    return f"  set s {{\n    type {kind}; elements = {{ {elements} }}\n  }}"


def _rbtree(count: int) -> str:
    elements = ", ".join(_blocks(count))
    return f"  set s {{\n    type ipv4_addr; flags interval; elements = {{ {elements} }}\n  }}"


def _map(kind: str, elements: list[str]) -> str:
    return f"  map s {{\n    type {kind}; elements = {{ {', '.join(elements)} }}\n  }}"


def _size(count: int) -> str:
    return f"size {model.room(count)}"


def _numbered(first: int, count: int) -> list[str]:
    return [str(ip_address(first + number)) for number in range(count)]


def _blocks(count: int) -> list[str]:
    return [f"{ip_address(_FIRST_BLOCK + (number << 16))}/24" for number in range(count)]
