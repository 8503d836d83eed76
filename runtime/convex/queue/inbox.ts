/** What one worker is told: its subscription, and the state it may ask for. */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import type { ControlState, Inbox } from "../validators.ts";

/** Reads the worker's signals and the config, and nothing that changes while there is nothing to do. */
export async function inboxOf(ctx: QueryCtx, signals: Doc<"workerSignals">): Promise<Inbox> {
  const { config } = await readRuntimeConfig(ctx);
  return {
    wake: signals.wake,
    draining: signals.draining,
    drainRemainingMs: remaining(signals.draining, signals.drainDeadlineAt),
    cancelled: signals.cancelled,
    jobsPerWorker: config.scaling.jobsPerWorker,
    idleHeartbeatIntervalMs: config.lease.idleHeartbeatIntervalMs,
  };
}

/** A duration, since the worker's clock is not the backend's. */
function remaining(draining: boolean, deadlineAt: number | undefined): number | null {
  return draining && deadlineAt !== undefined ? Math.max(0, deadlineAt - Date.now()) : null;
}

/** Spec H4: true for a stopped, draining or overdue worker. (An unknown one is refused before it gets here.) */
export function controlStateOf(worker: Doc<"workers">): ControlState {
  const drainRemainingMs = remaining(worker.drainDeadlineAt !== undefined, worker.drainDeadlineAt);
  switch (worker.state) {
    case "draining":
      return { shouldStop: true, reason: "draining", drainRemainingMs };
    case "stopping":
    case "warm":
    case "stopped":
      return { shouldStop: true, reason: "stopped", drainRemainingMs };
    case "creating":
    case "active": {
      const overdue =
        worker.load === 0 &&
        worker.scheduledShutdownAt !== undefined &&
        worker.scheduledShutdownAt <= Date.now();
      return { shouldStop: overdue, reason: overdue ? "overdue" : "none", drainRemainingMs: null };
    }
  }
}
