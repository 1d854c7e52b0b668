#!/usr/bin/env bash
# PyYAML 6.0.4: of several maps that a merge key takes over the last counts, where their keys are longer than a letter.
#
# PyYAML 6.0.4 against 6.0.3, Python 3.11. `{<<: [{app: a}, {app: b}]}` is `app: a` by the definition of merge keys
# (https://yaml.org/type/merge.html: earlier maps override later ones), for kubectl, and for PyYAML 6.0.3. In 6.0.4:
#
#     {<<: [{app: a}, {app: b}]} is {'app': 'b'}
#     {<<: [{x: a}, {x: b}]} is {'x': 'a'}
#
# It leaves out keys whose strings are the same object, which CPython makes of single letters alone. So a manifest
# that is merged of parts means one thing for kubectl and another for what reads it with this PyYAML.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
said() {
	"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "pyyaml==$1"
	"$folder/venv/bin/python" -c '
import yaml
for text in ("{<<: [{app: a}, {app: b}]}", "{<<: [{x: a}, {x: b}]}"):
    print(text, "is", yaml.load(text, Loader=yaml.CSafeLoader))'
}
said 6.0.3 | tee "$folder/before"
said 6.0.4 | tee "$folder/now"
grep -qF "is {'app': 'a'}" "$folder/before"
grep -qF "is {'x': 'a'}" "$folder/before"
grep -qF "is {'app': 'b'}" "$folder/now"
grep -qF "is {'x': 'a'}" "$folder/now"
