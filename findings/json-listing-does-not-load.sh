#!/usr/bin/env bash
# `nft -j list ruleset` is not taken by `nft -j -f` when a verdict map leads to chains.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. The listing as text loads again. The listing as JSON has the map with
# its elements before the chains, as the text has, but JSON is carried out in its order: the elements name a chain
# that is not there yet, and the file that nft itself has written is refused, without a word about which object:
#
#     internal:0:0-0: Error: Could not process rule: No such file or directory
#
# With the chains moved before the map it loads. So a backup as JSON is no backup where a ruleset dispatches by
# verdict maps, and whoever makes JSON for libnftables has to write chains first.
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
	map m {
		type ipv4_addr : verdict
		elements = { 192.0.2.1 : jump a }
	}
	chain a {
		counter
	}
	chain b {
		ip saddr vmap @m
	}
}
END
unshare --net bash -euc '"$NFT" -f given.nft; "$NFT" list ruleset >text.nft; "$NFT" -j list ruleset >text.json'
unshare --net "$NFT" -f text.nft
if unshare --net "$NFT" -j -f text.json 2>said; then exit 1; fi
cat said
grep -q "No such file or directory" said
python3 - <<'END'
import json

found = json.load(open("text.json"))
found["nftables"].sort(key=lambda own: "map" in own or "rule" in own)
json.dump(found, open("sorted.json", "w"))
END
unshare --net "$NFT" -j -f sorted.json
