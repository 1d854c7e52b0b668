#!/usr/bin/env bash
# A map of concatenated ranges takes a range around one that it has, with the opposite verdict.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. nf_tables refuses a range that overlaps another ("File exists"), and
# one inside another, in a set or map of intervals. Where the key is a concatenation, a range that encloses the
# old one on both sides is added, exit code 0, and both are listed:
#
#     elements = { tcp . 80-90 : accept,
#                  tcp . 70-100 : drop }
#
# Deleting by `tcp . 80-85`, which is no element, then deletes `tcp . 80-90`: its lower corner is enough. Who makes
# rulesets has to keep ranges apart before the kernel sees them, and cannot take "no error" for it.
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
	"$NFT" "add table inet t; add map inet t m { type inet_proto . inet_service : verdict; flags interval; }"
	"$NFT" add element inet t m "{ tcp . 80-90 : accept }"
	for refused in "tcp . 85-100" "tcp . 82-84"; do
		if "$NFT" add element inet t m "{ $refused : drop }" 2>"$0"; then exit 1; fi
		grep -q "File exists" "$0"
	done
	"$NFT" add element inet t m "{ tcp . 70-100 : drop }"
	"$NFT" list map inet t m | tee "$0"
	grep -q "tcp . 80-90 : accept" "$0"
	grep -q "tcp . 70-100 : drop" "$0"
	"$NFT" delete element inet t m "{ tcp . 80-85 : accept }"
	"$NFT" list map inet t m | tee "$0"
	if grep -q "tcp . 80-90" "$0"; then exit 1; fi
' "$folder/said"
