#!/usr/bin/env bash
# A table copied by JSON has other timeouts of connections, no merging set and no counts of elements, and no error.
#
# nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. `nft -j list ruleset` goes into `nft -j -f` with exit code 0. The policy
# and the family of the `ct timeout` are in the JSON, and what an element has counted, too; reading it back drops
# them. That a set merges its ranges is not even listed. What was and what came:
#
#     policy = { established : 100, close : 5 }     policy = {  }
#     auto-merge                                    -
#     counter packets 5 bytes 50                    counter packets 0 bytes 0
#
# Connections then live five days instead of 100 seconds, and the next overlapping range is refused. Counters of
# rules come back as they were, so one does not suspect those of elements. Text has all of it.
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
	ct timeout short {
		protocol tcp
		l3proto ip
		policy = { established : 100, close : 5 }
	}
	set merged {
		type ipv4_addr
		flags interval
		auto-merge
		elements = { 192.0.2.0/25 }
	}
	set counted {
		type ipv4_addr
		counter
		elements = { 192.0.2.1 counter packets 5 bytes 50 }
	}
	chain c {
		counter packets 7 bytes 70
	}
}
END
unshare --net bash -euc '"$NFT" -f given.nft; "$NFT" list ruleset >text.nft; "$NFT" -j list ruleset >text.json'
unshare --net bash -euc '"$NFT" -f text.nft; "$NFT" list ruleset' | diff text.nft -
unshare --net bash -euc '
	"$NFT" -j -f text.json
	"$NFT" list ruleset >copy.nft
	if "$NFT" "add element inet t merged { 192.0.2.0/24 }" 2>said; then exit 1; fi
'
diff text.nft copy.nft || true
grep -q '"policy": {"established": 100, "close": 5}' text.json
grep -qF "policy = {  }" copy.nft
grep -q "l3proto inet" copy.nft
grep -q '"counter": {"packets": 5, "bytes": 50}' text.json
grep -q "192.0.2.1 counter packets 0 bytes 0" copy.nft
grep -q "counter packets 7 bytes 70" copy.nft
if grep -q "auto-merge" text.json copy.nft; then exit 1; fi
cat said; grep -q "overlaps with an existing one" said
