"""Hypothesis strategies for transactions of nf_tables, as text for `nft -f`.

Out: lists of transactions, the first of which makes a table with everything in it. Names, addresses
and ports are few, so that commands meet each other's objects, and are refused, often. The forms are
those that netpolc uses; nothing of how it writes them is imported.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

TABLES = ["t", "t", "t", "t", "t", "u"]
CHAINS = ["a", "b", "c"]
BASES = {"front": "forward priority -5", "back": "postrouting priority 7"}
COUNTERS = ["x", "y"]
SETS = {
    "addresses": "typeof ip saddr; size 2;",
    "counted": "typeof ip6 saddr; size 3; counter;",
    "links": "typeof iifname; size 16;",
    "pairs": "typeof ip saddr . ip daddr; size 16;",
    "blocks": "typeof ip saddr . meta l4proto; flags interval;",
    "typed": "type ipv4_addr;",
}
MAPS = {
    "pods": "typeof ip saddr : verdict; size 2;",
    "ports": "typeof meta l4proto . th dport : verdict; size 3;",
    "ranges": "typeof th dport . meta l4proto : verdict; flags interval;",
}
KEYS = {
    "addresses": ["10.0.0.1", "10.0.0.2", "10.0.0.3", '10.0.0.1 comment "one"'],
    "counted": ["fd00::1", "fd00::2", "fd00::3", "fd00::4"],
    "links": ['"cni0"', '"eth0"'],
    "pairs": ["10.0.0.1 . 10.0.0.1", "10.0.0.1 . 10.0.0.2"],
    "blocks": [
        f"{block} . {protocols}"
        for block in ("10.0.0.0/30", "10.0.0.1", "10.0.0.2-10.0.0.5", "10.0.0.0/29")
        for protocols in ("0-255", "6")
    ],
    "typed": ["10.0.0.1"],
    "pods": ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
    "ports": ["tcp . 80", "6 . 80", "udp . 53", "sctp . 9", "tcp . 81"],
    "ranges": ["80-90 . tcp", "85 . tcp", "70-100 . tcp", "90-95 . tcp", "80-90 . udp"],
}
ASKED = {
    "addresses": "ip daddr",
    "counted": "ip6 saddr",
    "links": "oifname",
    "pairs": "ip saddr . ip daddr",
    "blocks": "ip daddr . meta l4proto",
    "typed": "ip saddr",
    "pods": "ip daddr",
    "ports": "meta l4proto . th sport",
    "ranges": "th dport . meta l4proto",
}
PLAIN = [
    "accept",
    'tcp dport 80-90 drop comment "ports"',
    "ct state established,related accept",
    "ct mark & 0xfff00000 == 0x18500000 accept",
    "ct state established,new ct mark set ct mark & 0x185fffff | 0x18500000",
    'limit rate 5/second log prefix "words: "',
    'fib saddr type local meta oifkind "bridge" return',
    "tcp flags ack reject with tcp reset",
    "reject with icmpx admin-prohibited",
    "ip6 hoplimit 255 icmpv6 type 133-137 accept",
    "ip saddr 10.0.0.0/8 ct direction reply iif 0 accept",
]

EVERYTHING = "table inet t {{\n{}\n}}\n".format(
    "\n".join(
        [
            *(f"chain {name} {{\n}}" for name in CHAINS),
            *(
                f"chain {name} {{\ntype filter hook {hook}; policy accept;\n}}"
                for name, hook in BASES.items()
            ),
            *(f"set {name} {{\n" + own.replace(";", "\n") + "}" for name, own in SETS.items()),
            *(f"map {name} {{\n" + own.replace(";", "\n") + "}" for name, own in MAPS.items()),
            *(f"counter {name} {{\n}}" for name in COUNTERS),
        ]
    )
)
"""A table with everything in it, and no rule or element."""


def one_of(names: Iterable[str]) -> st.SearchStrategy[str]:
    """One of some words."""
    return st.sampled_from([*names])


VERDICTS = st.one_of(
    st.sampled_from(["accept", "drop", "return"]),
    st.builds("{} {}".format, one_of(["goto", "jump"]), one_of(CHAINS)),
)
ENDS = st.one_of(VERDICTS, st.builds("{} {}".format, one_of(["goto", "jump"]), one_of(BASES)))


@st.composite
def rules(draw: st.DrawFn) -> str:
    """One that refers to something, or a plain one of each form that netpolc writes."""
    kind = draw(one_of(["jump", "jump", "set", "map", "counter", "plain"]))
    if kind == "jump":
        return draw(ENDS)
    if kind == "set":
        name = draw(one_of(SETS))
        return f"{ASKED[name]} @{name} {draw(VERDICTS)}"
    if kind == "map":
        name = draw(one_of(MAPS))
        return f"{ASKED[name]} vmap @{name}"
    if kind == "counter":
        return f'counter name {draw(one_of(COUNTERS))} drop comment "counts"'
    return draw(one_of(PLAIN))


@st.composite
def elements(draw: st.DrawFn, name: str) -> str:
    """Some of a set's, or of a map's with verdicts."""
    keys = draw(st.lists(st.sampled_from(KEYS[name]), min_size=1, max_size=3))
    return ", ".join(f"{key} : {draw(VERDICTS)}" if name in MAPS else key for key in keys)


@st.composite
def commands(draw: st.DrawFn, verbs: list[str]) -> str:
    """One command; most are about what the table probably has."""
    table = draw(one_of(TABLES))
    verb = draw(one_of(verbs))
    kind = draw(
        one_of(["table", "chain", "base", "set", "counter", *["element", "rule"] * 3, "flush"])
    )
    adds = verb in ("add", "create")
    if kind == "table":
        return f"{verb} table inet {table}"
    if kind == "chain":
        return f"{verb} chain inet {table} {draw(one_of(CHAINS))}"
    if kind == "base":
        name = draw(one_of(BASES))
        policy = draw(one_of(["accept", "accept", "drop"]))
        hook = draw(st.sampled_from([BASES[name], BASES[name], "forward priority 3"]))
        body = f" {{ type filter hook {hook}; policy {policy}; }}" if adds else ""
        return f"{verb} chain inet {table} {name}{body}"
    if kind == "counter":
        return f"{verb} counter inet {table} {draw(one_of(COUNTERS))}"
    if kind == "rule":
        chain = draw(st.sampled_from([*CHAINS, *BASES]))
        how = draw(one_of(["add", "add", "insert"]))
        return f"{how} rule inet {table} {chain} {draw(rules())}"
    name = draw(st.sampled_from([*SETS, *MAPS]))
    if kind == "set":
        own = (SETS | MAPS)[name]
        if draw(st.booleans()):
            own = own.replace("size 2", "size 3")
        body = f" {{ {own} }}" if adds else ""
        return f"{verb} {kind_of(name)} inet {table} {name}{body}"
    if kind == "element":
        return f"{verb} element inet {table} {name} {{ {draw(elements(name))} }}"
    return draw(flushes(table, name))


def kind_of(name: str) -> str:
    """What nft calls it."""
    return "map" if name in MAPS else "set"


def flushes(table: str, name: str) -> st.SearchStrategy[str]:
    """Of a chain, of a set or map, or of every chain."""
    return st.one_of(
        st.sampled_from([*CHAINS, *BASES]).map(lambda chain: f"flush chain inet {table} {chain}"),
        st.just(f"flush {kind_of(name)} inet {table} {name}"),
        st.just(f"flush table inet {table}"),
    )


@st.composite
def blocks(draw: st.DrawFn) -> str:
    """A table in one piece, as netpolc and the listing write it."""
    lines = [f"table inet {draw(one_of(TABLES))} {{"]
    if draw(st.booleans()):
        lines.append('comment "words"')
    for name in draw(st.lists(one_of(BASES), max_size=1)):
        body = draw(st.lists(rules(), max_size=3))
        lines += [f"chain {name} {{", f"type filter hook {BASES[name]}; policy accept;", *body, "}"]
    for name in draw(st.permutations([*CHAINS, *SETS, *MAPS, *COUNTERS])):
        if draw(st.integers(0, 3)) == 0:
            continue
        if name in CHAINS:
            lines += [f"chain {name} {{", *draw(st.lists(rules(), max_size=3)), "}"]
        elif name in COUNTERS:
            lines += [f"counter {name} {{", f'comment "{draw(one_of(["p", "q"]))}"', "}"]
        else:
            head = (SETS | MAPS)[name].replace(";", "\n")
            own = [f"elements = {{ {draw(elements(name))} }}"] if draw(st.booleans()) else []
            lines += [f"{kind_of(name)} {name} {{", head, *own, "}"]
    return "\n".join([*lines, "}"])


def transactions(verbs: list[str]) -> st.SearchStrategy[list[str]]:
    """Some, the first of which makes most of what the others name."""
    block = blocks()
    replacing = block.map(
        lambda own: f"{own.partition(' {')[0]}\ndelete {own.partition(' {')[0]}\n{own}"
    )
    few = st.lists(commands(verbs), min_size=1, max_size=5).map("\n".join)
    following = st.lists(st.one_of(few, few, few, few, block, replacing), min_size=1, max_size=8)
    return st.builds(lambda first, others: [EVERYTHING, first, *others], block, following)
