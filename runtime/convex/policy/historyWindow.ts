/** How much of the past an agent is shown. */
import type { RuntimeConfig } from "./runtimeConfig.ts";

const CHARS_PER_TOKEN = 4;
const DAY_MS = 24 * 60 * 60 * 1_000;

/** Rough on purpose: the window protects a budget, it does not bill. */
export function estimateTokens(text: string): number {
  return Math.ceil(text.length / CHARS_PER_TOKEN);
}

export function historyOldestAt(policy: RuntimeConfig["hydration"], now: number): number {
  return now - policy.historyDaysMax * DAY_MS;
}
