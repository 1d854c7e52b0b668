#!/usr/bin/env bash
# With `auto-merge`, a range that has no timeout expires with the neighbour that was added for a second.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. The manual says that the flag merges adjacent and overlapping elements.
# One would guess that two elements merge if they are alike, or that the longer timeout is kept. But whatever came
# last gives its timeout to the whole. `192.0.2.0/25` is there for good; then `192.0.2.128/25 timeout 2s` is added:
#
#     elements = { 192.0.2.0/24 timeout 2s expires 2s }
#
# Two seconds later the set is empty. Without `auto-merge` both elements are kept apart, and the first one stays. So
# a list of addresses to which some are added for a while cannot have this flag.
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
	"$NFT" "add table inet t"
	"$NFT" "add set inet t merged { type ipv4_addr; flags interval, timeout; auto-merge; }"
	"$NFT" "add set inet t apart { type ipv4_addr; flags interval, timeout; }"
	for name in merged apart; do
		"$NFT" "add element inet t $name { 192.0.2.0/25 }"
		"$NFT" "add element inet t $name { 192.0.2.128/25 timeout 2s }"
	done
	"$NFT" list set inet t merged | tee "$0"
	grep -q "{ 192.0.2.0/24 timeout 2s" "$0"
	"$NFT" list set inet t apart | tee "$0"
	grep -q "{ 192.0.2.0/25, 192.0.2.128/25 timeout 2s" "$0"
	sleep 3
	"$NFT" list set inet t merged | tee "$0"
	if grep -q elements "$0"; then exit 1; fi
	"$NFT" list set inet t apart | tee "$0"
	grep -q "elements = { 192.0.2.0/25 }" "$0"
' "$folder/said"
