#!/usr/bin/env bash
# @kubernetes/client-node: a policy read by another YAML library is sent, and written, without its `from`.
#
# @kubernetes/client-node 1.4.0, yaml 2.8.1. The client's calls and `dumpYaml` take objects in the shape of the API: a
# Deployment or Service that `yaml` or `JSON.parse` has read goes through whole. Only in its classes a rule's `from` is
# `_from`, and what is not in the class is left out. The policy of a manifest, dumped by the client:
#
#     given: {"ingress":[{"from":[{"podSelector":{}}],"ports":[{"port":80}]}],"podSelector":{}}
#     made:  {"ingress":[{"ports":[{"port":80}]}],"podSelector":{}}
#
# Without `from` a rule admits every source. The `to` of egress has one name in both and stays, so a test with egress
# shows nothing. Policies have to be read by the client's own `loadYaml`, or sent as custom objects.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --prefix . @kubernetes/client-node@1.4.0 yaml@2.8.1
cat >policy.yaml <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: web
spec:
  podSelector: {}
  ingress:
  - from:
    - podSelector: {}
    ports:
    - port: 80
  egress:
  - to:
    - podSelector: {}
END
cat >run.mjs <<'END'
import { readFileSync } from "node:fs";
import { deepStrictEqual } from "node:assert";
import { dumpYaml, loadYaml } from "@kubernetes/client-node";
import { parse } from "yaml";

const text = readFileSync("policy.yaml", "utf8");
const given = parse(text);
const made = parse(dumpYaml(given));
console.log("given:", JSON.stringify(given.spec));
console.log("made: ", JSON.stringify(made.spec));
deepStrictEqual(made.spec.ingress, [{ ports: [{ port: 80 }] }]);
deepStrictEqual(made.spec.egress, given.spec.egress);
deepStrictEqual(parse(dumpYaml(loadYaml(text))), given);
END
node run.mjs
