/** What a new revision of the runtime config means for the fleet. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import type { ActiveConfig } from "../config/read.ts";
import { liveWorkers } from "../machines/rows.ts";
import { describeSpecChange, machineSpec, specHash } from "../policy/machineSpec.ts";
import { hasRoom } from "../policy/wake.ts";
import { clearAlerts } from "./alerts.ts";
import { kickScaler } from "./kick.ts";
import { ensureScalerState } from "./state.ts";

/** Phases in which a rollout is under way. */
export const ACTIVE_PHASES = ["canary", "observing", "replacing"] as const;

/** The rollout under way, null when none is. At most one is, since a new one supersedes it. */
export async function activeRollout(ctx: QueryCtx): Promise<Doc<"rollouts"> | null> {
  for (const phase of ACTIVE_PHASES) {
    const rollout = await ctx.db
      .query("rollouts")
      .withIndex("by_phase", (q) => q.eq("phase", phase))
      .first();
    if (rollout !== null) return rollout;
  }
  return null;
}

/** Workers of releases that wrote no app down are in the one that was in force until now. */
async function noteApp(ctx: MutationCtx, former: ActiveConfig["config"]): Promise<void> {
  for (const worker of await liveWorkers(ctx)) {
    if (worker.appName !== undefined) continue;
    await ctx.db.patch("workers", worker._id, { appName: former.provider.appName });
  }
}

/** Slots follow the config at once: a worker reads its number of jobs from its subscription. */
async function applySlots(ctx: MutationCtx, config: ActiveConfig["config"]): Promise<void> {
  const { jobsPerWorker } = config.scaling;
  for (const worker of await liveWorkers(ctx)) {
    if (worker.slots === jobsPerWorker) continue;
    const resized = { ...worker, slots: jobsPerWorker };
    await ctx.db.patch("workers", worker._id, {
      slots: jobsPerWorker,
      hasFreeSlot: hasRoom(resized, worker.load, config.turn.dedication),
    });
  }
}

interface Stable {
  revision: number;
  image: string;
  specHash: string;
}

/**
 * Call in the transaction that writes a revision. A change of the machines' spec (app, image, guest, volume, env,
 * secrets version) starts a rollout, and supersedes one under way; everything else holds from the next decision.
 * @param previous null when nothing serves that the fleet could return to: before the first `up`, and after a
 * `destroy`.
 */
export async function onConfigApplied(
  ctx: MutationCtx,
  previous: ActiveConfig | null,
  next: ActiveConfig,
): Promise<void> {
  const now = Date.now();
  const state = await ensureScalerState(ctx);
  // A new config may have mended what stood in the way.
  await ctx.db.patch("scalerState", state._id, {
    backoffUntil: undefined,
    blockedBy: undefined,
    failures: 0,
    regionBlocks: [],
    bootHealth: undefined,
    ownerCheckedAt: undefined,
  });
  await clearAlerts(ctx, ["auth", "quota", "rejected", "not_owned", "no_capacity", "config", "boot"]);
  if (previous !== null) await noteApp(ctx, previous.config);
  await applySlots(ctx, next.config);
  await kickScaler(ctx, `config revision ${next.revision}`);

  const nextHash = await specHash(next.config.provider);
  const running = await activeRollout(ctx);
  if (previous !== null && running !== null && running.specHash === nextHash) {
    await ctx.db.patch("rollouts", running._id, { revision: next.revision });
    return;
  }
  const stable = await stableSpec(previous, running);
  if (running !== null) {
    await ctx.db.patch("rollouts", running._id, {
      phase: "superseded",
      phaseAt: now,
      finishedAt: now,
      reason: `superseded by revision ${next.revision}`,
    });
  }
  if (stable === null || previous === null || stable.specHash === nextHash) {
    await ctx.db.patch("scalerState", state._id, { stableRevision: next.revision });
    return;
  }
  await ctx.db.patch("scalerState", state._id, { stableRevision: stable.revision });
  await ctx.db.insert("rollouts", {
    revision: next.revision,
    stableRevision: stable.revision,
    phase: "canary",
    image: next.config.provider.image,
    stableImage: stable.image,
    specHash: nextHash,
    stableSpecHash: stable.specHash,
    startedAt: now,
    phaseAt: now,
    bootFailures: 0,
    turnsDone: 0,
    turnsFailed: 0,
    startedBy: `changed: ${describeSpecChange(machineSpec(previous.config.provider), machineSpec(next.config.provider))}`,
  });
}

/** The spec to return to: the one before, or what a superseded rollout would have returned to. */
async function stableSpec(
  previous: ActiveConfig | null,
  running: Doc<"rollouts"> | null,
): Promise<Stable | null> {
  if (previous === null) return null;
  if (running !== null && running.phase !== "replacing") {
    return { revision: running.stableRevision, image: running.stableImage, specHash: running.stableSpecHash };
  }
  const { revision, config } = previous;
  return { revision, image: config.provider.image, specHash: await specHash(config.provider) };
}
