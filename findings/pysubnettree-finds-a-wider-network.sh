#!/usr/bin/env bash
# pysubnettree says that a network is in a trie that has only a part of it; pytricia and py-radix say no.
#
# pysubnettree 0.38.1, pytricia 1.3.0, py-radix 1.1.0, Python 3.11. All take a network where an address can stand, and
# look for the longest prefix that covers it. With 0.0.0.0/0 and 10.1.0.0/16 in the trie, nothing but the first covers
# 10.1.0.0/8:
#
#     pysubnettree  10.1.0.0/16
#     pytricia      0.0.0.0/0
#     py-radix      0.0.0.0/0
#
# pysubnettree does not look at the length of what it is asked, though it gives the length of what it has a meaning:
# `10.1.0.0/8 in trie` is true of a trie that holds 10.1.0.0/16 alone. The other two find nothing there. Whoever asks
# whether a list covers a block has to ask for the block's last address as well, or take another library.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pysubnettree==0.38.1 pytricia==1.3.0 py-radix==1.1.0
"$folder/venv/bin/python" - <<'END'
import pytricia
import radix
import SubnetTree

WIDE = "10.1.0.0/8"
subnets, patricia, tree = SubnetTree.SubnetTree(), pytricia.PyTricia(), radix.Radix()
for prefix in ("0.0.0.0/0", "10.1.0.0/16"):
    subnets[prefix] = patricia[prefix] = prefix
    tree.add(prefix)
print(subnets[WIDE], patricia[WIDE], tree.search_best(WIDE).prefix)
assert (subnets[WIDE], patricia[WIDE], tree.search_best(WIDE).prefix) == ("10.1.0.0/16", "0.0.0.0/0", "0.0.0.0/0")
del subnets["0.0.0.0/0"], patricia["0.0.0.0/0"]
tree.delete("0.0.0.0/0")
assert WIDE in subnets
assert WIDE not in patricia
assert tree.search_best(WIDE) is None
END
