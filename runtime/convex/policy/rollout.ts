/** The health gate of a rollout, and how many canaries it wants. */
import type { RuntimeConfig } from "./runtimeConfig.ts";

type RolloutPolicy = RuntimeConfig["rollout"];

/** A canary that fails to boot is tried once more: hosts fail too, an image that crashes fails again. */
export const BOOT_FAILURES_MAX = 2;

export type RolloutPhase = "canary" | "observing" | "replacing" | "done" | "rolled_back" | "superseded";

export interface RolloutFacts {
  phase: RolloutPhase;
  startedAt: number;
  phaseAt: number;
  /** Workers with the new spec that are ready, and how many the policy wants. */
  readyCanaries: number;
  wantedCanaries: number;
  bootFailures: number;
  lastBootFailure: string | null;
  /** Real turns of workers with the new spec, stopped ones included. */
  turnsDone: number;
  turnsFailed: number;
  /** Workers, warm ones included, that do not have the new spec. */
  outdatedWorkers: number;
  /** Why no machine can be made now (quota, capacity, spend), null if nothing stands in the way. */
  blockedBy: string | null;
}

export type RolloutStep =
  | { step: "stay"; checkAt: number | null }
  | { step: "observe" }
  | { step: "promote"; reason: string }
  | { step: "finish" }
  | { step: "roll_back"; reason: string };

/** Canaries wanted: the larger of the fixed number and the share of the active workers. */
export function wantedCanaries(policy: RolloutPolicy, activeWorkers: number, maxWorkers: number): number {
  const share = Math.ceil((policy.canaryPercent / 100) * activeWorkers);
  return Math.min(maxWorkers, Math.max(policy.canaryWorkers, share));
}

const seconds = (ms: number): string => `${Math.round(ms / 1_000)} s`;

/** Failed turns that end a rollout; null while the gate has no objection. */
function failureVerdict(facts: RolloutFacts, policy: RolloutPolicy): string | null {
  const turns = facts.turnsDone + facts.turnsFailed;
  // Fewer turns than the gate watches would let one bad message end a good rollout.
  if (turns < Math.max(1, policy.gateTurnsMin)) return null;
  const rate = facts.turnsFailed / turns;
  if (rate < policy.failureRateMax) return null;
  return `${facts.turnsFailed} of ${turns} turns failed on the new workers (limit ${Math.round(policy.failureRateMax * 100)} %)`;
}

/** The next step of a rollout. Pure: the caller writes the phase and makes or ends workers. */
export function decideRollout(facts: RolloutFacts, policy: RolloutPolicy, now: number): RolloutStep {
  const gateEndsAt = facts.startedAt + policy.gateTimeoutMs;
  const turns = facts.turnsDone + facts.turnsFailed;
  const failed = failureVerdict(facts, policy);
  switch (facts.phase) {
    case "canary": {
      if (facts.bootFailures >= BOOT_FAILURES_MAX) {
        return {
          step: "roll_back",
          reason: `${facts.bootFailures} workers with the new image did not come up: ${facts.lastBootFailure ?? "no reason known"}`,
        };
      }
      if (failed !== null) return { step: "roll_back", reason: failed };
      if (facts.readyCanaries >= facts.wantedCanaries) return { step: "observe" };
      if (now >= gateEndsAt) {
        const why = facts.blockedBy === null ? "" : ` (${facts.blockedBy})`;
        return {
          step: "roll_back",
          reason: `${facts.readyCanaries} of ${facts.wantedCanaries} canary workers were ready within ${seconds(policy.gateTimeoutMs)}${why}`,
        };
      }
      return { step: "stay", checkAt: gateEndsAt };
    }
    case "observing": {
      if (failed !== null) return { step: "roll_back", reason: failed };
      if (facts.bootFailures >= BOOT_FAILURES_MAX) {
        return {
          step: "roll_back",
          reason: `workers with the new image died: ${facts.lastBootFailure ?? "no reason known"}`,
        };
      }
      if (turns >= Math.max(1, policy.gateTurnsMin)) {
        return { step: "promote", reason: `${turns} turns on the new workers, ${facts.turnsFailed} failed` };
      }
      const observedUntil = facts.phaseAt + policy.gateObserveMs;
      if (policy.gateTurnsMin === 0 || now >= observedUntil) {
        // Some failed and none succeeded: too few turns to judge by rate, and no reason to go on.
        if (facts.turnsFailed > 0 && facts.turnsDone === 0) {
          return {
            step: "roll_back",
            reason: `no turn succeeded on the new workers, ${facts.turnsFailed} failed`,
          };
        }
        return {
          step: "promote",
          reason:
            turns === 0
              ? "booted and answered its probe turn; nobody wrote meanwhile"
              : `${turns} turns on the new workers, ${facts.turnsFailed} failed`,
        };
      }
      return { step: "stay", checkAt: observedUntil };
    }
    case "replacing": {
      if (failed !== null) return { step: "roll_back", reason: failed };
      if (facts.outdatedWorkers === 0) return { step: "finish" };
      return { step: "stay", checkAt: null };
    }
    case "done":
    case "rolled_back":
    case "superseded":
      return { step: "stay", checkAt: null };
  }
}
