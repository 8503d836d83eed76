#!/usr/bin/env bash
# Lints the workflows with actionlint, a Go module pinned here. Where Go is missing this says so and fails, unless
# WORKFLOWS_LINT=optional: a check that did not run is never reported as passed.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

actionlint=github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

if ! command -v go >/dev/null; then
  echo "workflows: NOT LINTED, Go is not installed (https://go.dev/doc/install); actionlint runs as $actionlint"
  [[ ${WORKFLOWS_LINT:-} == optional ]] && exit 0
  exit 1
fi
files=(.github/workflows/*.yml)
if go run "$actionlint" -color=false "${files[@]}"; then
  echo "workflows: ${#files[@]} linted with actionlint, $(command -v shellcheck >/dev/null && echo "scripts with shellcheck" || echo "scripts NOT: shellcheck is not installed")"
else
  exit 1
fi

# actionlint does not ask for these: pinned by commit, credentials not kept.
bad=0
while IFS= read -r line; do
  echo "workflows: not pinned by a full commit with its version in a comment: $line"
  bad=1
done < <(grep -rnE '^\s*-?\s*uses:' .github | grep -vE 'uses: \./' | grep -vE '^[^:]+:[0-9]+:#' | grep -vE 'uses: [^@]+@[0-9a-f]{40} # v?[0-9]' | grep -v '<owner>')
for file in "${files[@]}"; do
  grep -qE '^permissions: \{\}$' "$file" || { echo "workflows: $file lacks 'permissions: {}' at the top"; bad=1; }
  checkouts=$(grep -c 'actions/checkout@' "$file") kept=$(grep -c 'persist-credentials: false' "$file")
  [[ $checkouts -eq $kept ]] || { echo "workflows: $file has $checkouts checkouts, $kept with persist-credentials: false"; bad=1; }
  jobs=$(grep -cE '^    runs-on:' "$file") timed=$(grep -cE '^    timeout-minutes:' "$file")
  [[ $jobs -eq $timed ]] || { echo "workflows: $file has $jobs jobs, $timed with timeout-minutes"; bad=1; }
done
exit "$bad"
