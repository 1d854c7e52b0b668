#!/usr/bin/env bash
# `conntrack -F -f ipv4` forgets the flows of IPv6, too.
#
# conntrack 1:1.4.7-1+b2 (Debian 12), Linux 6.18. `-f` is taken by every command without a word. `conntrack -L -f ipv4`
# and `conntrack -D -f ipv4 ...` keep to the family, so one expects it of the flush. The manual only says that the
# option is needed for listings, and that a table is flushed whole. Here one flow of IPv4 and one of IPv6 are there:
#
#     conntrack -L -f ipv4      1 flow entries have been shown.
#     conntrack -F -f ipv4      connection tracking table has been emptied.
#     conntrack -L              0 flow entries have been shown.
#
# So who wants flows of one family judged again has to delete them by address, and cannot do it by a flush.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in conntrack=1:1.4.7-1+b2 libnetfilter-conntrack3=1.0.9-3 \
	nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
export PATH=$folder/root/usr/sbin:$PATH LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu
cat >given.nft <<'END'
table inet t {
	chain c {
		type filter hook output priority filter
		ct state new counter
	}
}
END
unshare --net bash -euc '
	ip link set lo up
	nft -f given.nft
	open() { echo one >/dev/udp/127.0.0.1/9001; echo one >/dev/udp/::1/9001; }
	open
	conntrack -L -f ipv4 | tee listed
	conntrack -D -f ipv4 -p udp
	conntrack -L | tee deleted
	open
	conntrack -F -f ipv4
	conntrack -L | tee flushed
'
grep -q "src=127.0.0.1" listed
if grep -q "src=::1" listed; then exit 1; fi
if grep -q "src=127.0.0.1" deleted; then exit 1; fi
grep -q "src=::1" deleted
[ ! -s flushed ]
