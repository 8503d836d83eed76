#!/usr/bin/env bash
# take-skills.sh <folder>: makes each folder in it a skill of the worker image, for this checkout alone. A skill of the
# same name is replaced whole; the others stay. All are looked at before one is taken.
set -euo pipefail
source=$1 target=runtime/worker/skills
[[ -d $source ]] || { echo "::error::there is no folder $source"; exit 1; }
names=()
for skill in "$source"/*/; do
  [[ -d $skill ]] || continue
  name=$(basename "$skill")
  [[ -f $skill/SKILL.md ]] || { echo "::error::$source/$name has no SKILL.md"; exit 1; }
  names+=("$name")
done
[[ ${#names[@]} -gt 0 ]] || { echo "::error::$source holds no skill"; exit 1; }
for name in "${names[@]}"; do
  rm -rf "${target:?}/$name"
  cp -R "$source/$name" "$target/$name"
done
echo "${#names[@]} skill(s) taken in: ${names[*]}"
