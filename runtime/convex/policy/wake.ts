/** Which one worker is told that there is work. */
import type { RuntimeConfig } from "./runtimeConfig.ts";

export type WakeCandidate = {
  workerId: string;
  state: string;
  hasFreeSlot: boolean;
  load: number;
  lastHeartbeatAt?: number | undefined;
  canary: boolean;
  dedicatedTo?: string | undefined;
};

/** Silent for this long: waking it would be waking nobody. */
export function isSilent(
  worker: { lastHeartbeatAt?: number | undefined },
  config: RuntimeConfig,
  now: number,
) {
  return (worker.lastHeartbeatAt ?? 0) < now - config.scaling.workerLostAfterMs;
}

/** Whether every worker may serve every conversation: nobody is a canary for some agents, nobody is dedicated. */
export const anyWorkerServes = (config: RuntimeConfig): boolean =>
  config.turn.dedication === "none" && config.rollout.canaryAgentKeys.length === 0;

/** Whether this worker may serve that conversation at all: canary agents and dedication (turn.dedication). */
export function mayServe(
  worker: Pick<WakeCandidate, "canary" | "dedicatedTo" | "load">,
  conversation: { agentKey: string; conversationId: string },
  config: RuntimeConfig,
): boolean {
  const { canaryAgentKeys } = config.rollout;
  if (worker.canary && canaryAgentKeys.length > 0 && !canaryAgentKeys.includes(conversation.agentKey)) {
    return false;
  }
  // A worker without load may change its owner; one that is busy serves its owner alone.
  if (config.turn.dedication === "none" || worker.load === 0) return true;
  return config.turn.dedication === "agent" && worker.dedicatedTo === conversation.agentKey;
}

/**
 * Whether a canary still lacks turns that the rollout's gate wants to see. Such a one is woken before the holder of
 * the files: conversations stay with their holders, and a fleet with room for all would never show what the new image
 * does to a turn. A turn that has ended or runs counts, so that a bad image meets no more people than the gate asks.
 */
export function lacksTurns(
  worker: { canary: boolean; load: number; turnsDone: number; turnsFailed: number },
  config: RuntimeConfig,
): boolean {
  const turns = worker.turnsDone + worker.turnsFailed + worker.load;
  return worker.canary && turns < config.rollout.gateTurnsMin;
}

/**
 * The holder of the conversation's files when it can take it, else the least loaded of the others.
 * Workers already tried for this message are left out.
 */
export function chooseWorker<Worker extends WakeCandidate>(
  holder: Worker | null,
  others: readonly Worker[],
  conversation: { agentKey: string; conversationId: string },
  tried: readonly string[],
  config: RuntimeConfig,
  now: number,
): Worker | null {
  const able = (worker: Worker) =>
    worker.state === "active" &&
    worker.hasFreeSlot &&
    !isSilent(worker, config, now) &&
    !tried.includes(worker.workerId) &&
    mayServe(worker, conversation, config);
  if (holder !== null && able(holder)) return holder;
  let best: Worker | null = null;
  for (const worker of others) {
    if (able(worker) && (best === null || worker.load < best.load)) best = worker;
  }
  return best;
}

/**
 * Whether the worker will claim for every free slot anyway: each wake-up makes it claim once. A burst then writes its
 * one row a few times instead of once per message, and concurrent enqueues do not conflict on it.
 *
 * @param wake how often it was woken.
 * @param worker `wakesAnswered` counts its claims since; one that found nothing has answered them all.
 */
export function wokenEnough(
  wake: number,
  worker: { slots: number; load: number; wakesAnswered?: number | undefined },
): boolean {
  return wake - (worker.wakesAnswered ?? 0) >= worker.slots - worker.load;
}

/** state active, ready and with room: what `workers.hasFreeSlot` says. */
export function hasRoom(
  worker: { state: string; slots: number; readyAt?: number | undefined },
  load: number,
  dedication: RuntimeConfig["turn"]["dedication"],
): boolean {
  if (worker.state !== "active" || worker.readyAt === undefined) return false;
  return dedication === "conversation" ? load === 0 : load < worker.slots;
}
