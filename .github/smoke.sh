#!/usr/bin/env bash
# smoke.sh <stack>: waits for the rollout, asks doctor, runs one turn. With SMOKE_CHAT_ID (a private chat that has
# started the bot) the turn goes through the real webhook and back to that chat; else it is enqueued.
set -euo pipefail
stack=$1
factory() { node cli/main.ts --stack "$stack" "$@"; }
factory rollouts status --wait "${ROLLOUT_WAIT:-30m}"
factory doctor
if [[ -n ${SMOKE_CHAT_ID:-} ]]; then
  factory smoke --through webhook --chat "$SMOKE_CHAT_ID" --timeout 10m
elif [[ ${SMOKE_WITHOUT_BOT:-} == true ]]; then
  factory smoke --no-webhook-check --timeout 10m
else
  factory smoke --timeout 10m
fi
