/** After each call to the provider: what became of it. Its intent was recorded by begin.ts. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { lifecycleLimits, workerFacts } from "../machines/facts.ts";
import { closeWorker, endWorker, findWorker, noteRunning } from "../machines/rows.ts";
import { nextWorkerStep } from "../policy/lifecycle.ts";
import { readMachineState } from "../policy/machineStates.ts";
import { backoffMs } from "../policy/providerBackoff.ts";
import { applyStep } from "./apply.ts";
import { noteBootFailure } from "./bootHealth.ts";
import { blockRegions, noteProviderHealth } from "./providerHealth.ts";
import { type Failure, type OpKind, vOpKind, vOutcome } from "./shapes.ts";
import { holdsPass, readScalerState } from "./state.ts";

/** First look at whether an accepted order was obeyed, ms. */
const LOOK_AFTER_MS = 1_000;
type Worker = Doc<"workers">;

/** A machine that is proven gone (404). */
async function noteGone(ctx: MutationCtx, worker: Worker): Promise<void> {
  if (worker.state === "stopping" || worker.state === "warm") {
    await closeWorker(ctx, worker, "its machine is gone");
    return;
  }
  const bootFailed = worker.state === "creating" && worker.readyAt === undefined;
  await closeWorker(ctx, worker, "its machine is gone", bootFailed);
  if (bootFailed) await noteBootFailure(ctx, worker, "its machine is gone");
}

async function noteSuccess(
  ctx: MutationCtx,
  worker: Worker,
  kind: OpKind,
  machine: { machineId: string; region: string; state: string } | null,
): Promise<void> {
  const now = Date.now();
  const settled = { op: undefined, opAttempts: undefined };
  switch (kind) {
    case "create":
      if (machine !== null) await noteRunning(ctx, worker, machine);
      return;
    case "start":
      // Verbatim "suspended" is what tells a resume from a boot, so it is read before it is overwritten.
      await noteRunning(ctx, worker, {
        machineId: worker.machineId ?? "",
        region: worker.region ?? "",
        state: "starting",
      });
      return;
    case "suspend":
    case "stop":
    case "destroy":
      await ctx.db.patch("workers", worker._id, {
        ...settled,
        orderedAt: now,
        notBefore: now + LOOK_AFTER_MS,
      });
      return;
    case "verify": {
      if (machine === null) return;
      const { config } = await readRuntimeConfig(ctx);
      const state = readMachineState(machine.state);
      await ctx.db.patch("workers", worker._id, {
        ...settled,
        machineState: machine.state,
        machineStateAt: now,
        missingSince: undefined,
        notBefore: now + LOOK_AFTER_MS * 2 ** Math.min(5, worker.opAttempts ?? 0),
        opAttempts: (worker.opAttempts ?? 0) + 1,
      });
      const fresh = await ctx.db.get("workers", worker._id);
      if (fresh === null) return;
      const step = nextWorkerStep(workerFacts(fresh, state), lifecycleLimits(config, 0), now);
      // Only what needs no call and no second opinion: silence is judged by the plan, with all it knows.
      if (step.do === "rested" || step.do === "close") {
        await applyStep(
          ctx,
          fresh,
          step,
          {
            ...machine,
            name: worker.workerId,
            owner: null,
            workerId: worker.workerId,
            image: null,
            hostReachable: true,
          },
          config,
        );
      }
      return;
    }
  }
}

/** Retries of one order spread out, so that a provider in trouble is not hammered. */
async function orderAgain(ctx: MutationCtx, worker: Worker, failure: Failure): Promise<void> {
  const attempts = (worker.opAttempts ?? 0) + (failure.kind === "rate_limited" ? 0 : 1);
  const waitMs = backoffMs(failure.kind, Math.max(1, attempts), failure.retryAfterMs);
  await ctx.db.patch("workers", worker._id, {
    opAttempts: attempts,
    notBefore: Date.now() + waitMs,
    // Unknown: the call may have acted, and only a listing can tell.
    ...(failure.kind === "unknown" ? {} : { op: undefined }),
  });
}

async function noteFailure(ctx: MutationCtx, worker: Worker, kind: OpKind, failure: Failure): Promise<void> {
  if (failure.kind === "not_found" && kind !== "create") {
    await noteGone(ctx, worker);
    return;
  }
  if (kind === "create") {
    const definite = !["unknown", "rate_limited", "secrets_pending", "busy", "unreachable"].includes(
      failure.kind,
    );
    if (definite) await closeWorker(ctx, worker, failure.message);
    else await orderAgain(ctx, worker, failure);
    return;
  }
  if (kind === "start" && (failure.kind === "no_capacity" || failure.kind === "rejected")) {
    // The host has no room for it any more: it makes way for a new one elsewhere.
    await endWorker(ctx, worker, failure.message);
    await ctx.db.patch("workers", worker._id, { op: undefined });
    return;
  }
  if ((kind === "suspend" || kind === "stop") && failure.kind === "rejected") {
    // What cannot rest ends.
    await endWorker(ctx, worker, failure.message);
    await ctx.db.patch("workers", worker._id, { op: undefined });
    return;
  }
  await orderAgain(ctx, worker, failure);
  // These orders may be given twice without harm, so an unknown outcome needs no listing first.
  if (kind !== "start") await ctx.db.patch("workers", worker._id, { op: undefined });
}

/**
 * After a call: records what became of it. Taken from any pass, also one that lost the loop meanwhile, because
 * a fact stays a fact; what follows from it is decided by whoever holds the loop.
 */
export const record = internalMutation({
  args: { generation: v.number(), workerId: v.string(), kind: vOpKind, outcome: vOutcome },
  returns: v.null(),
  handler: async (ctx, { generation, workerId, kind, outcome }) => {
    const state = await readScalerState(ctx);
    if (holdsPass(state, generation))
      await ctx.db.patch("scalerState", state._id, { passSignAt: Date.now() });
    await blockRegions(ctx, outcome.regionsWithoutRoom);
    const failed = outcome.ok ? null : outcome.failure;
    await noteProviderHealth(ctx, kind, failed?.kind === "not_found" ? null : failed);
    const worker = await findWorker(ctx, workerId);
    if (worker === null || worker.state === "stopped") return null;
    if (outcome.volumeId !== undefined)
      await ctx.db.patch("workers", worker._id, { volumeId: outcome.volumeId });
    // A later pass has begun another call: its own outcome counts, this one is told by the machine's state.
    if (worker.op !== undefined && worker.op.generation > generation) return null;
    if (outcome.ok) await noteSuccess(ctx, worker, kind, outcome.machine);
    else await noteFailure(ctx, worker, kind, outcome.failure);
    return null;
  },
});

/** A machine that nobody owns was told to end; asked again if it is still listed much later. */
export const recordOrphan = internalMutation({
  args: { machineId: v.string() },
  returns: v.null(),
  handler: async (ctx, { machineId }) => {
    const row = await ctx.db
      .query("orphanMachines")
      .withIndex("by_machine_id", (q) => q.eq("machineId", machineId))
      .first();
    if (row !== null) await ctx.db.patch("orphanMachines", row._id, { destroyAskedAt: Date.now() });
    return null;
  },
});
