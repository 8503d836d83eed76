#!/usr/bin/env bash
# copy-image.sh <stack> <repository@sha256:…>: copies an image into the repository of the stack's own app and prints what
# to pin. A copy keeps its digest. A stack that has no app yet gets the image as it is: its first update makes the app.
# Needs FLY_API_TOKEN and Go.
set -euo pipefail
stack=$1 image=$2
[[ $image =~ @sha256:[0-9a-f]{64}$ ]] || { echo "::error::'$image' is no image by digest" >&2; exit 1; }
outputs=$(pulumi stack output --json --stack "$stack")
app=$(node -p 'JSON.parse(process.argv[1]).flyAppName ?? ""' "$outputs")
digest=${image##*@}
if [[ -z $app ]]; then
  echo "$stack has no app yet: its first update runs the image in place" >&2
  echo "$image"
  exit 0
fi
copy="registry.fly.io/$app@$digest"
if [[ $image != "$copy" ]]; then
  crane() { go run github.com/google/go-containerregistry/cmd/crane@v0.22.1 "$@" >&2; }
  # By stdin: arguments can be read by other processes.
  printf '%s' "${FLY_API_TOKEN#FlyV1 }" | crane auth login registry.fly.io -u x --password-stdin
  crane copy "$image" "registry.fly.io/$app:promoted-${digest:7:12}"
fi
echo "$copy"
