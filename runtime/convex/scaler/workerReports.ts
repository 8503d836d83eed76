/** What a worker tells about itself: that it is ready, and that it leaves (worker.ready, worker.stopped). */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { hasRoom } from "../policy/wake.ts";
import { forgetBootFailures } from "./bootHealth.ts";
import { kickScaler, noteWorkerIdle } from "./kick.ts";
import type { ReadyReport } from "../validators.ts";
import { signalServe } from "../machines/signals.ts";
import { clipText } from "../policy/clipText.ts";

/**
 * The worker's gateway runs and its probe turn was answered: it may claim from now on.
 *
 * @returns false when the worker is already told to end; it should leave.
 */
export async function reportReady(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  report: ReadyReport,
): Promise<boolean> {
  const now = Date.now();
  if (worker.state !== "creating" && worker.state !== "active") return false;
  const active = await readRuntimeConfigOrNull(ctx);
  await ctx.db.patch("workers", worker._id, {
    state: "active",
    readyAt: now,
    lastHeartbeatAt: now,
    hasFreeSlot: hasRoom(
      { ...worker, state: "active", readyAt: now },
      worker.load,
      active?.config.turn.dedication ?? "none",
    ),
    suspectSince: undefined,
    bootMs: report.bootMs,
    probeTurnMs: report.probeTurnMs,
    imageDigest: report.imageDigest,
    sourceRevision: report.sourceRevision,
    skills: report.skills,
    removedSkills: report.removedSkills,
  });
  await signalServe(ctx, worker.workerId);
  await forgetBootFailures(ctx);
  if (worker.load === 0) await noteWorkerIdle(ctx, { ...worker, state: "active", readyAt: now });
  await kickScaler(ctx, `${worker.workerId} is ready`);
  return true;
}

/**
 * The worker's own goodbye, after a drain. Its process ends now; the machine is dealt with by the next tick.
 * Leases that it did not release are left to recovery: a goodbye proves nothing about them.
 */
export async function reportStopped(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  reason: string,
): Promise<boolean> {
  if (worker.state === "stopped") return false;
  const unasked = worker.state === "creating" || worker.state === "active";
  await ctx.db.patch("workers", worker._id, {
    hasFreeSlot: false,
    leaving: true,
    ...(unasked
      ? {
          state: "stopping" as const,
          retireTo: "end" as const,
          stopReason: clipText(`worker left: ${reason}`, 500),
        }
      : {}),
  });
  await kickScaler(ctx, clipText(`${worker.workerId} left: ${reason}`, 200));
  return true;
}
