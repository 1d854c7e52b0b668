#!/usr/bin/env bash
# pyroute2: asked for the flows with mark 0, conntrack's dump gives all; beside a tuple it forgets any mark.
#
# pyroute2 0.9.7, Python 3.11, nft 1.0.6-2+deb12u2, Linux 6.18. The documentation of `NFCTSocket.dump` lists what the
# kernel filters: mark and mask, tuples, status. `mark=7` works, so one expects the same of `mark=0`, which is what
# flows have that no rule has marked. But 0 counts as "not given", and next to a tuple the mark is not looked at:
#
#     dump(mark=7, mark_mask=0xff)                  port 9001, mark 7
#     dump(mark=0, mark_mask=0xff)                  port 9001, mark 7; port 9002, mark 0
#     dump(tuple_orig=udp, mark=7, mark_mask=0xff)  port 9001, mark 7; port 9002, mark 0
#
# There is no error. Who then deletes what was found deletes the marked flows as well; the mark of each flow has to be
# looked at again. (`conntrack -L -m 0/0xff` filters by it.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pyroute2==0.9.7
export NFT=$folder/root/usr/sbin/nft LIBRARIES=$folder/root/usr/lib/$(uname -m)-linux-gnu
cat >given.nft <<'END'
table inet t {
	chain c {
		type filter hook output priority filter
		udp dport 9001 ct mark set 7
		ct state new counter
	}
}
END
cat >asked.py <<'END'
import socket

from pyroute2 import NFCTSocket
from pyroute2.netlink.nfnetlink.nfctsocket import NFCTAttrTuple


def found(conntrack, **asked):
    flows = set()
    for flow in conntrack.dump(**asked):
        protocol = flow.get_attr("CTA_TUPLE_ORIG").get_attr("CTA_TUPLE_PROTO")
        flows.add((protocol.get_attr("CTA_PROTO_DST_PORT"), flow.get_attr("CTA_MARK")))
    print(asked, flows)
    return flows


with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    for port in (9001, 9002):
        sender.sendto(b"one", ("127.0.0.1", port))
with NFCTSocket() as conntrack:
    udp = NFCTAttrTuple(proto=socket.IPPROTO_UDP)
    everything = {(9001, 7), (9002, 0)}
    assert found(conntrack) == everything
    assert found(conntrack, mark=7, mark_mask=0xFF) == {(9001, 7)}
    assert found(conntrack, mark=0, mark_mask=0xFF) == everything
    assert found(conntrack, tuple_orig=udp, mark=7, mark_mask=0xFF) == everything
END
unshare --net bash -euc '
	ip link set lo up
	LD_LIBRARY_PATH=$LIBRARIES "$NFT" -f given.nft
	venv/bin/python asked.py
'
