#!/usr/bin/env bash
# cdk8s-plus: a policy that "doesn't change" what its pods may receive denies them everything.
#
# cdk8s-plus-32 2.5.92, cdk8s 2.70.106. The documentation of `NetworkPolicyProps.ingress` says that without it the
# policy does not change ingress of the pods, and the same for egress. So one expects a policy with neither to do
# nothing until rules are added. What is written has no `policyTypes`, for which Kubernetes takes Ingress, and no rules:
#
#     spec:
#       podSelector:
#         matchLabels: {...}
#
# With rules of egress alone the library does write `policyTypes: [Egress]`. So a policy made first, whose rules come
# under a condition, shuts its pods off where the condition does not hold.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . cdk8s-plus-32@2.5.92 cdk8s@2.70.106 constructs@10.4.2
sed -n '/interface NetworkPolicyProps/,/^}/p' node_modules/cdk8s-plus-32/lib/network-policy.d.ts >documented
grep "@default - the policy doesn't change ingress behavior" documented
node -e '
const { Testing } = require("cdk8s");
const { NetworkPolicy, NetworkPolicyTrafficDefault, Pod } = require("cdk8s-plus-32");
const chart = Testing.chart();
const selector = new Pod(chart, "pod", { containers: [{ image: "example.com/web" }] });
new NetworkPolicy(chart, "neither", { selector });
new NetworkPolicy(chart, "egress", { selector, egress: { default: NetworkPolicyTrafficDefault.ALLOW } });
for (const { kind, spec } of Testing.synth(chart)) if (kind === "NetworkPolicy") console.log(JSON.stringify(spec));
' | tee made
sed 's/"matchLabels":{[^}]*}/"matchLabels":{}/' made | diff - <(
	echo '{"podSelector":{"matchLabels":{}}}'
	echo '{"egress":[{}],"podSelector":{"matchLabels":{}},"policyTypes":["Egress"]}'
)
