#!/usr/bin/env bash
# destroy-preview.sh <organization>/pr-<n>: destroys the environment and forgets its stack. Safe to repeat.
set -euo pipefail
stack=$1
[[ $stack =~ /pr-[0-9]+$ ]] || { echo "::error::'$stack' is no preview stack"; exit 1; }
if ! pulumi stack select "$stack" 2>/dev/null; then
  echo "$stack: there is none"
  exit 0
fi
pulumi destroy --stack "$stack" --yes --skip-preview --suppress-outputs
pulumi stack rm "$stack" --yes
