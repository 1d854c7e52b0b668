#!/usr/bin/env bash
# Declaring a set again with a smaller `size` shrinks it below what is in it, and a full set has "too many open files".
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. Declaring a set that is there with other flags is refused ("File
# exists"), so one expects the same for another `size`, or at least for one that its elements do not fit in. It is
# taken, the old elements stay, and from then on no address comes in, not even for one that leaves in the same
# transaction:
#
#     set s { type ipv4_addr  size 2  elements = { 192.0.2.1, 192.0.2.2, 192.0.2.3 } }
#     add element inet t s { 192.0.2.9 }
#     Error: Could not process rule: Too many open files in system
#
# The error is of the set, and of no file. So declaring a set "to be sure" before adding is no harmless repetition,
# and exchanging an element of a full set takes two transactions, or a size with room.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
export NFT=$folder/root/usr/sbin/nft LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu
unshare --net bash -euc '
	"$NFT" "add table inet t; add set inet t s { type ipv4_addr; size 4; }"
	"$NFT" "add element inet t s { 192.0.2.1, 192.0.2.2, 192.0.2.3 }"
	if "$NFT" "add set inet t s { type ipv4_addr; size 4; flags interval; }" 2>"$0"; then exit 1; fi
	grep -q "File exists" "$0"
	"$NFT" "add set inet t s { type ipv4_addr; size 2; }"
	"$NFT" list set inet t s | tr -s "[:space:]" " " | tee "$0"
	grep -q "size 2 elements = { 192.0.2.1, 192.0.2.2, 192.0.2.3 }" "$0"
	for more in "" "delete element inet t s { 192.0.2.1 }; "; do
		if "$NFT" "${more}add element inet t s { 192.0.2.9 }" 2>"$0"; then exit 1; fi
		grep -m 1 "Too many open files in system" "$0"
	done
' "$folder/said"
