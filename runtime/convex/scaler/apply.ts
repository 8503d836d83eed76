/** Carries out one step of one worker in the database and says which call it asks for, if any. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { closeWorker, endWorker, loseWorker, noteRested, noteRunning } from "../machines/rows.ts";
import type { WorkerStep } from "../policy/lifecycle.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import type { ObservedMachine } from "../machines/provider.ts";
import { noteBootFailure } from "./bootHealth.ts";
import type { OpKind } from "./shapes.ts";
import { ensureTickBy } from "./timer.ts";

/** Fly suspends machines of at most this memory, MB. */
export const SUSPEND_MEMORY_MAX_MB = 2_048;

/** How an idle worker comes to rest. */
export function restKind(config: RuntimeConfig): "suspend" | "stop" {
  const suspends =
    config.scaling.warmPool.mode === "suspend" && config.provider.guest.memoryMb <= SUSPEND_MEMORY_MAX_MB;
  return suspends ? "suspend" : "stop";
}

export interface Applied {
  op: OpKind | null;
  /** What a person should read about it. */
  event: string | null;
  /** When to look again, ms; null: when something happens. */
  checkAt: number | null;
}

const nothing: Applied = { op: null, event: null, checkAt: null };

/**
 * @param machine the machine as just listed or fetched, null when it was not.
 */
export async function applyStep(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  step: WorkerStep,
  machine: ObservedMachine | null,
  config: RuntimeConfig,
): Promise<Applied> {
  const now = Date.now();
  switch (step.do) {
    case "create":
    case "start":
    case "verify":
      return { ...nothing, op: step.do };
    case "rest":
      return { ...nothing, op: restKind(config) };
    case "destroy":
      if (worker.state !== "stopping") await endWorker(ctx, worker, worker.stopReason ?? "warm time is over");
      return { ...nothing, op: "destroy" };
    case "adopt":
      if (machine !== null) await noteRunning(ctx, worker, machine);
      return { ...nothing, checkAt: now };
    case "rested":
      await noteRested(ctx, worker, machine?.state ?? "stopped");
      // The plan that waits for it may have been made already: the next one starts it.
      if (worker.awaitedUntil !== undefined)
        await ensureTickBy(ctx, now, `${worker.workerId} rests and is wanted`);
      return { ...nothing, event: `${worker.workerId} rests (${machine?.state ?? "stopped"})` };
    case "close":
      await closeWorker(ctx, worker, step.reason, step.bootFailed);
      if (step.bootFailed) await noteBootFailure(ctx, worker, step.reason);
      return worker.stopReason === undefined
        ? { ...nothing, event: `${worker.workerId} closed: ${step.reason}` }
        : nothing;
    case "lose": {
      await loseWorker(ctx, worker, step);
      if (step.bootFailed) await noteBootFailure(ctx, worker, step.reason);
      const event = `${worker.workerId} lost: ${step.reason}`;
      // Without a machine id the next listing or the grace tells whether there is anything to destroy.
      return { op: worker.machineId === undefined ? null : "destroy", event, checkAt: now };
    }
    case "note_missing":
      await ctx.db.patch("workers", worker._id, { missingSince: now });
      return { ...nothing, checkAt: now + config.scaling.missingMachineGraceMs };
    case "note_found":
      await ctx.db.patch("workers", worker._id, { missingSince: undefined });
      return { ...nothing, checkAt: now };
    case "suspect":
      await ctx.db.patch("workers", worker._id, { suspectSince: now });
      return { ...nothing, checkAt: now + Math.ceil(config.lease.idleHeartbeatIntervalMs * 1.5) };
    case "clear_suspect":
      await ctx.db.patch("workers", worker._id, { suspectSince: undefined });
      return nothing;
    case "wait":
      return { ...nothing, checkAt: step.checkAt };
  }
}
