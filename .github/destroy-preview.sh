#!/usr/bin/env bash
# destroy-preview.sh <organization>/pr-<n>: destroys the environment and forgets its stack. Safe to repeat.
set -euo pipefail
stack=$1
[[ $stack =~ /pr-[0-9]+$ ]] || { echo "::error::'$stack' is no preview stack"; exit 1; }
if ! error=$(pulumi stack select "$stack" 2>&1 >/dev/null); then
  # Only a stack that is not there is done with: a failed login must not leave an environment that costs money.
  [[ $error == *"no stack named"* ]] || { echo "$error" >&2; exit 1; }
  echo "$stack: there is none"
  exit 0
fi
pulumi destroy --stack "$stack" --yes --skip-preview --suppress-outputs
pulumi stack rm "$stack" --yes
