#!/usr/bin/env bash
# ipset-translate makes an exception of an ipset, `nomatch`, an ordinary element of the nft set.
#
# ipset 7.17-1, nft 1.0.6-2+deb12u2 (Debian 12), Linux 6.18. What the translator has no words for it prints as a comment
# (`# create k hash:ip skbinfo`), so one expects that of `nomatch`, which nft's sets lack. It leaves the word out:
#
#     add s 10.9.0.0/16,udp:53 nomatch    add element inet global s { 10.9.0.0/16 . udp . 53 }
#     add s 10.0.0.0/8,udp:53             add element inet global s { 10.0.0.0/8 . udp . 53 }
#
# nft takes both without an error, narrower first, and 10.9.1.1 is in the set that had to leave it out. With the other
# order, or in a `hash:net`, it says that intervals conflict, and not why. Sets with exceptions have to be split into
# ranges before they are translated.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for package in ipset=7.17-1 libipset13=7.17-1 \
	nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2; do
	apt-get download -qq "$package"
done
for file in *.deb; do dpkg -x "$file" root; done
export PATH=$folder/root/usr/sbin:$PATH LD_LIBRARY_PATH=$folder/root/usr/lib/$(uname -m)-linux-gnu
cat >given.ipset <<'END'
create k hash:ip skbinfo
create s hash:net,port
add s 10.9.0.0/16,udp:53 nomatch
add s 10.0.0.0/8,udp:53
END
ipset-translate restore <given.ipset | tee made.nft
grep -qxF "# create k hash:ip skbinfo" made.nft
grep -qxF "add element inet global s { 10.9.0.0/16 . udp . 53 }" made.nft
unshare --net bash -euc '
	nft -f made.nft
	nft get element inet global s "{ 10.9.1.1 . udp . 53 }"
'
printf "%s\n" "create s hash:net" "add s 10.0.0.0/8" "add s 10.9.0.0/16 nomatch" | ipset-translate restore >made.nft
if unshare --net nft -f made.nft 2>said; then exit 1; fi
grep -m 1 "conflicting intervals specified" said
