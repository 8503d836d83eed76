#!/usr/bin/env bash
# pin-image.sh <stack> <repository@sha256:…>: makes the stack use an image that exists, for this checkout alone.
set -euo pipefail
stack=$1 image=$2
[[ $image =~ @sha256:[0-9a-f]{64}$ ]] || { echo "::error::'$image' is no image by digest"; exit 1; }
pulumi config set --stack "$stack" --path 'agent-factory:image.builder' prebuilt
pulumi config set --stack "$stack" --path 'agent-factory:image.image' "$image"
