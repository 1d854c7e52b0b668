#!/usr/bin/env bash
# `nft --check` finds a ruleset good that the kernel refuses when it is loaded: 17 chains that follow one another.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. The check sends the whole transaction to the kernel and lets it be
# undone, so one expects the same answer. But how deep chains lead is looked at only when a transaction is
# committed. 16 in a row, the base chain included, are taken by both; of 17 the check says 0, and the load:
#
#     Error: Could not process rule: Too many links
#
# So a dry run by `nft -c` does not show that a ruleset can be loaded.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
export NFT=$folder/root/usr/sbin/nft LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu

row() {  # a base chain and $1 - 1 chains below it, each of which jumps to the next
	echo "table inet t {"
	echo "chain c$(($1 - 1)) { accept; }"
	for ((number = $1 - 2; number > 0; number--)); do
		echo "chain c$number { jump c$((number + 1)); }"
	done
	echo "chain base { type filter hook forward priority 0; jump c1; }"
	echo "}"
}
row 16 >16.nft
row 17 >17.nft
unshare --net bash -euc '
	"$NFT" --check --file 16.nft
	"$NFT" --file 16.nft
	"$NFT" flush ruleset
	"$NFT" --check --file 17.nft
	if "$NFT" --file 17.nft 2>said; then exit 1; fi
	grep -m 1 "Too many links" said
'
