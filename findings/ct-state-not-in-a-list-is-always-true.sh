#!/usr/bin/env bash
# `ct state != new,established` matches a new packet: a list is "one of these" without `!=`, and one number with it.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. `ct state new,established` asks whether one of the bits is set, so one
# expects `!=` to be the opposite. But then the state as a whole is compared with the two bits together (`cmp neq
# reg 1 0x0000000a`), which no packet has: a connection is in one state at a time. One packet that opens a flow is
# counted by the rule, and by its negation:
#
#     udp dport 9999 ct state established,new counter packets 1 bytes 32
#     udp dport 9999 ct state != established | new counter packets 1 bytes 32
#     udp dport 9999 ct state != { established, new } counter packets 0 bytes 0
#     udp dport 9999 ct state ! established,new counter packets 0 bytes 0
#
# The set in braces and the bare `!` are what was meant. Whoever writes or reads rules over flags has to take `!=`
# with a list for a comparison that is always true.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
export NFT=$folder/root/usr/sbin/nft LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu
cat >given.nft <<'END'
table inet t {
	chain c {
		type filter hook output priority 0
		udp dport 9999 ct state new,established counter
		udp dport 9999 ct state != new,established counter
		udp dport 9999 ct state != { new, established } counter
		udp dport 9999 ct state ! new,established counter
	}
}
END
unshare --net bash -euc '
	ip link set lo up
	"$NFT" -f given.nft
	echo one >/dev/udp/127.0.0.1/9999
	"$NFT" list chain inet t c
' | tee said
grep -q "ct state established,new counter packets 1 " said
grep -q "ct state != established | new counter packets 1 " said
grep -q "ct state != { established, new } counter packets 0 " said
grep -q "ct state ! established,new counter packets 0 " said
