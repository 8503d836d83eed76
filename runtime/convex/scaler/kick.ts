/** What other rooms call when something changed that may need more or fewer workers. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { ensureTickBy } from "./timer.ts";

/**
 * Asks for a reconcile at once, coalesced: any number of kicks before the next tick make one tick, and a kick
 * while one is due only reads.
 */
export async function kickScaler(ctx: MutationCtx, reason: string): Promise<void> {
  await ensureTickBy(ctx, Date.now(), reason);
}

/**
 * Call when a worker's load has fallen to 0: it may leave the active set idleTimeoutMs after its last claim
 * (spec E6). The watchdog is the scaler's own timer, so that many idle workers cost one scheduled job.
 *
 * @param config when the caller has read it in this transaction.
 */
export async function noteWorkerIdle(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  config?: RuntimeConfig,
): Promise<void> {
  const policy = config ?? (await readRuntimeConfigOrNull(ctx))?.config;
  if (policy === undefined) return;
  const now = Date.now();
  const since = worker.lastClaimAt ?? worker.readyAt ?? now;
  const shutdownAt =
    worker.prewarm === true && worker.lastClaimAt === undefined ? now : since + policy.scaling.idleTimeoutMs;
  await ctx.db.patch("workers", worker._id, { scheduledShutdownAt: shutdownAt });
  // A draining worker that has just become idle is what the drain waits for.
  await ensureTickBy(ctx, worker.state === "draining" ? now : shutdownAt, `${worker.workerId} is idle`);
}
