#!/usr/bin/env bash
# Deleting an element of a verdict map deletes it whatever verdict is said, and says nothing.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. `80 : jump a` is in the map. Adding `80 : jump b` is refused ("File
# exists"), so the verdict counts there. `delete element ... { 80 : jump b }`, which is not in the map, ends with 0
# and takes `80 : jump a` away:
#
#     elements = { 81 : jump a }
#
# So a transaction that deletes by key and verdict does not check what it was made against.
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
	"$NFT" "add table inet t; add chain inet t a; add chain inet t b"
	"$NFT" "add map inet t m { type inet_service : verdict; }"
	"$NFT" add element inet t m "{ 80 : jump a, 81 : jump a }"
	if "$NFT" add element inet t m "{ 80 : jump b }" 2>"$0"; then exit 1; fi
	grep -q "File exists" "$0"
	"$NFT" delete element inet t m "{ 80 : jump b }"
	"$NFT" list map inet t m | tee "$0"
	if grep -q "80 : jump" "$0"; then exit 1; fi
	grep -q "81 : jump a" "$0"
' "$folder/said"
