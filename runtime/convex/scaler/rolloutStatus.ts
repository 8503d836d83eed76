import { v } from "convex/values";
import { internalQuery } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { liveWorkers } from "../machines/rows.ts";
import { vRolloutPhase } from "./tables.ts";

const vStatus = v.object({
  /** none: this deployment has had no rollout yet. */
  phase: v.union(vRolloutPhase, v.literal("none")),
  /** Ended, one way or the other. */
  finished: v.boolean(),
  revision: v.number(),
  image: v.string(),
  stableRevision: v.union(v.number(), v.null()),
  stableImage: v.union(v.string(), v.null()),
  /** Why it ended or what it waits for; null while there is nothing to say. */
  reason: v.union(v.string(), v.null()),
  startedAt: v.union(v.number(), v.null()),
  phaseAt: v.union(v.number(), v.null()),
  finishedAt: v.union(v.number(), v.null()),
  bootFailures: v.number(),
  turnsDone: v.number(),
  turnsFailed: v.number(),
  /** Live workers with the new spec (ready ones among them), and all others. */
  workersNew: v.number(),
  workersNewReady: v.number(),
  workersOld: v.number(),
});

/**
 * `factory:rolloutStatus`: the rollout of a revision, or the latest one. `pulumi up` asks for the revision that
 * it has written; a revision that changed no machine has none and reads as `none`, finished.
 */
export const rolloutStatus = internalQuery({
  args: { revision: v.optional(v.number()) },
  returns: v.union(v.null(), vStatus),
  handler: async (ctx, { revision }) => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return null;
    const rollout =
      revision === undefined
        ? await ctx.db.query("rollouts").order("desc").first()
        : await ctx.db
            .query("rollouts")
            .withIndex("by_revision", (q) => q.eq("revision", revision))
            .order("desc")
            .first();
    const workers = await liveWorkers(ctx);
    if (rollout === null) {
      return {
        phase: "none" as const,
        finished: true,
        revision: active.revision,
        image: active.config.provider.image,
        stableRevision: null,
        stableImage: null,
        reason: null,
        startedAt: null,
        phaseAt: null,
        finishedAt: null,
        bootFailures: 0,
        turnsDone: 0,
        turnsFailed: 0,
        workersNew: workers.length,
        workersNewReady: workers.filter((worker) => worker.readyAt !== undefined).length,
        workersOld: 0,
      };
    }
    const fresh = workers.filter((worker) => worker.specHash === rollout.specHash);
    return {
      phase: rollout.phase,
      finished: rollout.finishedAt !== undefined,
      revision: rollout.revision,
      image: rollout.image,
      stableRevision: rollout.stableRevision,
      stableImage: rollout.stableImage,
      reason: rollout.reason ?? rollout.lastBootFailure ?? null,
      startedAt: rollout.startedAt,
      phaseAt: rollout.phaseAt,
      finishedAt: rollout.finishedAt ?? null,
      bootFailures: rollout.bootFailures,
      turnsDone: rollout.turnsDone + fresh.reduce((sum, worker) => sum + worker.turnsDone, 0),
      turnsFailed: rollout.turnsFailed + fresh.reduce((sum, worker) => sum + worker.turnsFailed, 0),
      workersNew: fresh.length,
      workersNewReady: fresh.filter((worker) => worker.readyAt !== undefined).length,
      workersOld: workers.length - fresh.length,
    };
  },
});
