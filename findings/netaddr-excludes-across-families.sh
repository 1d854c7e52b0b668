#!/usr/bin/env bash
# netaddr: excluding `::/0` from a network of IPv4 leaves nothing of it.
#
# netaddr 1.3.0, Python 3.11. An `ipBlock` or a route with exceptions is a matter of `cidr_exclude`. Networks of two
# families have no address in common, so one expects the target back. But the two are compared as numbers, and what
# remains has the family of the exception:
#
#     cidr_exclude("10.0.0.0/30", "::/0")           []
#     cidr_exclude("10.0.0.0/30", "::a00:1/128")    [IPNetwork('::10.0.0.0/32'), IPNetwork('::10.0.0.2/31')]
#     cidr_exclude("10.0.0.0/30", "2001:db8::/32")  [IPNetwork('10.0.0.0/30')]
#
# The third is what one tries, and looks right. `IPSet` keeps families apart, and `ipaddress.address_exclude` refuses
# to mix them. So exceptions have to be sorted by family before this function sees them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check netaddr==1.3.0
"$folder/venv/bin/python" - <<'END'
import ipaddress

from netaddr import IPNetwork, IPSet, cidr_exclude

target = IPNetwork("10.0.0.0/30")
for exception in ("::/0", "::a00:1/128", "2001:db8::/32"):
    print(exception, cidr_exclude(target, exception))
assert cidr_exclude(target, "::/0") == []
assert [(rest.version, rest.prefixlen) for rest in cidr_exclude(target, "::a00:1/128")] == [(6, 32), (6, 31)]
assert cidr_exclude(target, "2001:db8::/32") == [target]
assert IPSet([target]) - IPSet(["::/0"]) == IPSet([target])
try:
    list(ipaddress.ip_network("10.0.0.0/30").address_exclude(ipaddress.ip_network("::/0")))
except TypeError as refused:
    print(refused)
else:
    raise AssertionError
END
