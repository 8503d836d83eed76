/** The one writer of a worker's state: how a row is made, rests, is lost and ends. */
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { splitByDay } from "../policy/spend.ts";
import { deleteSignals, signalDrain, signalServe } from "./signals.ts";
import { clipText } from "../policy/clipText.ts";

type Worker = Doc<"workers">;

/** Rows that are not over. More than the largest ceiling can only be a defect; the rest is seen next time. */
const LIVE_READ_MAX = 1_000;
const LIVE_STATES = ["creating", "active", "draining", "stopping", "warm"] as const;
const REASON_MAX = 500;

/** All workers that are not over. */
export async function liveWorkers(ctx: QueryCtx): Promise<Worker[]> {
  const rows: Worker[] = [];
  for (const state of LIVE_STATES) {
    const found = await ctx.db
      .query("workers")
      .withIndex("by_stopped_at", (q) => q.eq("state", state))
      .take(LIVE_READ_MAX);
    rows.push(...found);
  }
  return rows;
}

export async function findWorker(ctx: QueryCtx, workerId: string): Promise<Worker | null> {
  return await ctx.db
    .query("workers")
    .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
    .first();
}

/** Books the machine's running time up to now on its UTC days. */
async function bookUsage(ctx: MutationCtx, worker: Worker, now: number): Promise<void> {
  if (worker.runningSince === undefined) return;
  for (const part of splitByDay(worker.runningSince, now)) {
    const row = await ctx.db
      .query("machineUsage")
      .withIndex("by_day", (q) => q.eq("day", part.day))
      .first();
    if (row === null) await ctx.db.insert("machineUsage", part);
    else await ctx.db.patch("machineUsage", row._id, { ms: row.ms + part.ms });
  }
}

/** Adds what a worker did for a rollout's gate before its row stops counting. */
async function bookForRollout(ctx: MutationCtx, worker: Worker, bootFailure: string | null): Promise<void> {
  for (const phase of ["canary", "observing", "replacing"] as const) {
    const rollout = await ctx.db
      .query("rollouts")
      .withIndex("by_phase", (q) => q.eq("phase", phase))
      .first();
    if (rollout === null || rollout.specHash !== worker.specHash) continue;
    await ctx.db.patch("rollouts", rollout._id, {
      turnsDone: rollout.turnsDone + worker.turnsDone,
      turnsFailed: rollout.turnsFailed + worker.turnsFailed,
      ...(bootFailure === null
        ? {}
        : {
            bootFailures: rollout.bootFailures + 1,
            lastBootFailure: clipText(`${worker.workerId}: ${bootFailure}`, REASON_MAX),
          }),
    });
  }
}

/** The machine runs or boots, as an answer or a listing shows. A resumed one goes on where it was. */
export async function noteRunning(
  ctx: MutationCtx,
  worker: Worker,
  machine: { machineId: string; region: string; state: string },
): Promise<void> {
  const now = Date.now();
  const resumed =
    worker.state === "creating" && worker.readyAt !== undefined && worker.machineState === "suspended";
  await ctx.db.patch("workers", worker._id, {
    machineId: machine.machineId,
    region: machine.region,
    machineState: machine.state,
    machineStateAt: now,
    bootStartedAt: now,
    runningSince: worker.runningSince ?? now,
    op: undefined,
    opAttempts: undefined,
    notBefore: undefined,
    missingSince: undefined,
    ...(resumed
      ? {
          state: "active" as const,
          hasFreeSlot: worker.load < worker.slots,
          lastHeartbeatAt: now,
          suspectSince: undefined,
        }
      : {}),
  });
  if (resumed) await signalServe(ctx, worker.workerId);
}

/** The worker claims nothing more. With turns in hand it may finish them until the deadline. */
export async function drainWorker(
  ctx: MutationCtx,
  worker: Worker,
  to: "warm" | "end",
  deadlineAt: number,
  why: string,
): Promise<void> {
  // A worker about to be suspended must stay: told to drain, it would leave and boot anew next time.
  const leaving = to === "end" || worker.load > 0;
  await ctx.db.patch("workers", worker._id, {
    state: "draining",
    leaving,
    hasFreeSlot: false,
    retireTo: to,
    drainDeadlineAt: deadlineAt,
    stopReason: clipText(why, REASON_MAX),
    orderedAt: undefined,
    opAttempts: undefined,
    notBefore: undefined,
  });
  if (leaving) await signalDrain(ctx, worker.workerId, deadlineAt);
}

/** It was to rest, and neither it nor its provider has been told: it serves on, and looks for work at once. */
export async function recallWorker(ctx: MutationCtx, worker: Worker): Promise<void> {
  await ctx.db.patch("workers", worker._id, {
    state: "active",
    hasFreeSlot: worker.load < worker.slots,
    retireTo: undefined,
    leaving: undefined,
    drainDeadlineAt: undefined,
    stopReason: undefined,
    opAttempts: undefined,
    notBefore: undefined,
  });
  await signalServe(ctx, worker.workerId);
}

/** It has come to rest and may be started again. */
export async function noteRested(ctx: MutationCtx, worker: Worker, machineState: string): Promise<void> {
  const now = Date.now();
  await bookUsage(ctx, worker, now);
  await ctx.db.patch("workers", worker._id, {
    state: "warm",
    hasFreeSlot: false,
    warmSince: now,
    machineState,
    machineStateAt: now,
    runningSince: undefined,
    retireTo: undefined,
    drainDeadlineAt: undefined,
    scheduledShutdownAt: undefined,
    prewarm: undefined,
    leaving: undefined,
    awaitedUntil: undefined,
    dedicatedTo: undefined,
    orderedAt: undefined,
    op: undefined,
    opAttempts: undefined,
    notBefore: undefined,
    bootStartedAt: undefined,
    // A stopped machine boots anew and reports again; a suspended one goes on where it was.
    ...(machineState === "suspended" ? {} : { readyAt: undefined }),
  });
}

/** A warm worker is wanted again; the order to start it follows. */
export async function wakeWarm(ctx: MutationCtx, worker: Worker): Promise<void> {
  await ctx.db.patch("workers", worker._id, {
    state: "creating",
    warmSince: undefined,
    bootStartedAt: undefined,
    orderedAt: undefined,
    stopReason: undefined,
    opAttempts: undefined,
    notBefore: undefined,
  });
}

/** On its way out: nothing of it counts any more but its place under the ceiling. */
export async function endWorker(ctx: MutationCtx, worker: Worker, reason: string): Promise<void> {
  await ctx.db.patch("workers", worker._id, {
    state: "stopping",
    hasFreeSlot: false,
    retireTo: "end",
    stopReason: clipText(reason, REASON_MAX),
    orderedAt: undefined,
    opAttempts: undefined,
    notBefore: undefined,
  });
}

/**
 * The worker is lost: hung, unreachable, or its process ended unasked. Its token dies at once, so that it can
 * write nothing should it come back, and its leases are taken back without waiting for them to expire.
 */
export async function loseWorker(
  ctx: MutationCtx,
  worker: Worker,
  how: { reason: string; bootFailed: boolean; planned: boolean },
): Promise<void> {
  const { reason, bootFailed, planned } = how;
  await endWorker(ctx, worker, reason);
  await ctx.db.patch("workers", worker._id, { tokenHash: undefined });
  await deleteSignals(ctx, worker.workerId);
  if (bootFailed) await bookForRollout(ctx, { ...worker, turnsDone: 0, turnsFailed: 0 }, reason);
  await recoverLeases(ctx, worker, reason, planned);
}

/** The end of a row: it never revives, and its credential is worthless from now on. */
export async function closeWorker(
  ctx: MutationCtx,
  worker: Worker,
  reason: string,
  bootFailed = false,
): Promise<void> {
  const now = Date.now();
  await bookUsage(ctx, worker, now);
  await bookForRollout(ctx, worker, bootFailed ? reason : null);
  await ctx.db.patch("workers", worker._id, {
    state: "stopped",
    hasFreeSlot: false,
    tokenHash: undefined,
    stoppedAt: now,
    // The first reason says why it ended; "destroyed" only that it has.
    stopReason: worker.stopReason ?? clipText(reason, REASON_MAX),
    runningSince: undefined,
    op: undefined,
    notBefore: undefined,
    scheduledShutdownAt: undefined,
  });
  await deleteSignals(ctx, worker.workerId);
  await recoverLeases(ctx, worker, reason, false);
}

async function recoverLeases(
  ctx: MutationCtx,
  worker: Worker,
  reason: string,
  planned: boolean,
): Promise<void> {
  // Scheduled, so that a worker with many leases cannot make this transaction too large.
  if (worker.load > 0) {
    await ctx.scheduler.runAfter(0, internal.queue.recovery.recoverWorker, {
      workerId: worker.workerId,
      reason,
      planned,
    });
  }
}
