#!/usr/bin/env bash
# kubernetes 37.0.2: a NetworkPolicy that goes through `model_dump` and `model_validate` admits everybody.
#
# kubernetes 37.0.2, pydantic 2.14.4, Python 3.11. The client's models are pydantic's, validate by name and by alias,
# and forbid extra fields, so one expects that a dump is read back, or refused. All fields are, but two: words that
# Python reserves have other names in a dump (`var_from`, `var_except`), and those are dropped without an error.
#
#     given: "ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": [...]}}], "ports": [{"port": 80}]}]
#     read:  "ingress": [{"ports": [{"port": 80}]}]
#
# A rule without `from` admits any source, and a block without `except` the whole block. `to_dict` with `from_dict`,
# `by_alias=True`, copies and pickles keep both. So policies must not be cached or sent by the plain dump.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check kubernetes==37.0.2 pydantic==2.14.4
"$folder/venv/bin/python" - <<'END'
import json

from kubernetes.client import ApiClient, V1NetworkPolicySpec

block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
given = {
    "ingress": [{"from": [block], "ports": [{"port": 80}]}],
    "egress": [{"to": [block]}],
    "podSelector": {"matchLabels": {"app": "a"}},
}
spec = V1NetworkPolicySpec.from_dict(given)


def said(model):
    return ApiClient().sanitize_for_serialization(model)


assert said(spec) == given
assert V1NetworkPolicySpec.model_config["extra"] == "forbid"
assert said(V1NetworkPolicySpec.from_dict(spec.to_dict())) == given
assert said(V1NetworkPolicySpec.model_validate(spec.model_dump(by_alias=True))) == given
open_to_all = {
    "ingress": [{"ports": [{"port": 80}]}],
    "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
    "podSelector": {"matchLabels": {"app": "a"}},
}
for read in (
    V1NetworkPolicySpec.model_validate(spec.model_dump()),
    V1NetworkPolicySpec.model_validate_json(spec.model_dump_json()),
):
    print("given:", json.dumps(given))
    print("read: ", json.dumps(said(read)))
    assert said(read) == open_to_all
END
