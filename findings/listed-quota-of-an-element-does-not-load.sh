#!/usr/bin/env bash
# A set whose elements have a quota is listed as text that nft does not read, and as JSON that it does.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. A set can give each element a counter, a limit, a quota or a count of
# connections. Listings of the other three load again, and text is the form that the manual says to save a ruleset
# in. For quotas the element's own state is listed in words that the parser has for the set alone:
#
#     elements = { 192.0.2.1 quota over 1000 bytes }
#                            ^^^^^
#     Error: syntax error, unexpected quota, expecting comma or '}'
#
# The JSON of the same set loads. So a saved ruleset with quotas per address is refused as a whole at boot, though
# each rule was taken while it was made, and nobody finds out before.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
export NFT=$folder/root/usr/sbin/nft LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu
for state in "limit rate 3/second burst 7 packets" "ct count over 3" "quota over 1000 bytes"; do
	export state
	rm -f text.nft text.json
	unshare --net bash -euc '
		"$NFT" "add table inet t; add set inet t s { type ipv4_addr; flags dynamic; $state; }"
		"$NFT" "add element inet t s { 192.0.2.1 }"
		"$NFT" list ruleset >text.nft
		"$NFT" -j list ruleset >text.json
	'
	grep -q "elements = { 192.0.2.1 $state }" text.nft
	unshare --net "$NFT" -j -f text.json
	if [[ $state != quota* ]]; then
		unshare --net "$NFT" -f text.nft
	elif unshare --net "$NFT" -f text.nft 2>said; then
		exit 1
	fi
done
cat said
grep -q "syntax error, unexpected quota" said
