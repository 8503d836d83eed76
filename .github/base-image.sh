#!/usr/bin/env bash
# base-image.sh <Dockerfile>: asks the registry for the base that the Dockerfile pins. A digest that is not there, or is
# no index of platforms, fails; a tag that was built anew since is told and fails nothing: the pinned base goes on
# working, without the newest fixes.
set -euo pipefail

dockerfile=$1
pinned=$(sed -n 's/^ARG NODE_IMAGE=//p' "$dockerfile" | head -n 1)
[[ $pinned =~ ^(.+)@(sha256:[0-9a-f]{64})$ ]] ||
  { echo "::error file=$dockerfile::NODE_IMAGE is '$pinned', not <tag>@sha256:<digest>"; exit 1; }
tag=${BASH_REMATCH[1]} digest=${BASH_REMATCH[2]}

manifest() { docker buildx imagetools inspect "$1" --format '{{json .Manifest}}'; }

type=$(manifest "$pinned" | jq -r .mediaType)
[[ $type == *image.index* || $type == *manifest.list* ]] ||
  { echo "::error file=$dockerfile::$pinned is a $type, not an index of platforms"; exit 1; }
now=$(manifest "$tag" | jq -r .digest)
if [[ $now == "$digest" ]]; then
  echo "$tag is $digest"
else
  echo "::warning file=$dockerfile::$tag has been built anew: $now instead of $digest"
fi
