#!/usr/bin/env bash
# Flows that `conntrack -L -o save` writes and `conntrack -R` reads come back without their marks.
#
# conntrack 1:1.4.7-1+b2 (Debian 12), Linux 6.18. The manual calls it a listing in the syntax of conntrack, and uses it
# to copy flows. Zone, state and timeout are in it, and `-A` has an option for the mark, but the listing leaves it out:
#
#     udp 17 29 src=127.0.0.1 dst=127.0.0.1 sport=40001 dport=9001 [UNREPLIED] ... mark=7 zone=5 use=1
#     -A -t 29 -u UNSET -w 5 -s 127.0.0.1 -d 127.0.0.1 -r 127.0.0.1 -q 127.0.0.1 -p udp --sport 40001 --dport 9001 ...
#
# The restored flow has mark=0. Rules that know by the mark what was judged, balanced or routed see a flow that they
# never saw. So flows that are kept or moved this way need their marks carried by other means.
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
	chain first {
		type filter hook output priority raw
		udp dport 9001 ct zone set 5
	}
	chain later {
		type filter hook output priority filter
		udp dport 9001 ct mark set 7
	}
}
END
unshare --net bash -euc '
	ip link set lo up
	nft -f given.nft
	echo one >/dev/udp/127.0.0.1/9001
	conntrack -L | tee before
	conntrack -L -o save | tee saved
	conntrack -F
	conntrack -R saved
	conntrack -L | tee after
'
grep -q "dport=9001 .* mark=7 zone=5 " before
grep -q -- "-w 5 .*--dport 9001" saved
if grep -qE -- "-m |--mark" saved; then exit 1; fi
grep -q "dport=9001 .* mark=0 zone=5 " after
