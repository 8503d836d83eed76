#!/usr/bin/env bash
# sweep-previews.sh <organization>: destroys the preview environments that no open pull request wants any more. Where
# GitHub does not say, the environment stays and the sweep fails, so that somebody looks.
set -euo pipefail
organization=$1 failed=0
listed=$(pulumi stack ls --organization "$organization" --json)
names=$(node -p 'JSON.parse(process.argv[1]).map(({ name }) => name).filter((name) => /(^|\/)pr-[0-9]+$/.test(name)).join("\n")' "$listed")
for name in $names; do
  stack=$organization/${name##*/}
  if ! wanted=$(gh pr view "${name##*pr-}" --json state,labels \
    --jq 'select(.state == "OPEN" and ([.labels[].name] | index("preview"))) | "yes"'); then
    echo "::error::$stack: GitHub does not say whether it is wanted"
    failed=1
  elif [[ $wanted == yes ]]; then
    echo "$stack: in use"
  else
    "$(dirname "${BASH_SOURCE[0]}")/destroy-preview.sh" "$stack" || failed=1
  fi
done
exit "$failed"
