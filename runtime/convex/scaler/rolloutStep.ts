/** Moves a rollout on, once per pass. The rules are policy/rollout.ts's. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { writeRuntimeConfig } from "../config/apply.ts";
import type { ActiveConfig } from "../config/read.ts";
import type { FleetMode, SpecRole } from "../policy/fleetFacts.ts";
import { machineSpec, specHash } from "../policy/machineSpec.ts";
import { decideRollout, type RolloutFacts, wantedCanaries } from "../policy/rollout.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { clearAlerts, raiseAlert } from "./alerts.ts";
import { activeRollout } from "./rolloutStart.ts";
import { readScalerState } from "./state.ts";

/** Who appears as the author of a revision that a rollback writes. */
const ROLLBACK_ACTOR = "rollout";

export interface RolloutView {
  mode: FleetMode;
  target: { revision: number; specHash: string };
  stable: { revision: number; specHash: string };
  canariesWanted: number;
  checkAt: number | null;
  event: string | null;
}

/** The role of a worker's spec in this view. */
export function roleOf(view: RolloutView, worker: Doc<"workers">): SpecRole {
  if (worker.specHash === view.target.specHash) return "target";
  return view.mode !== "steady" && worker.specHash === view.stable.specHash ? "stable" : "other";
}

async function configAt(ctx: QueryCtx, revision: number): Promise<RuntimeConfig | null> {
  const row = await ctx.db
    .query("runtimeConfigHistory")
    .withIndex("by_revision", (q) => q.eq("revision", revision))
    .first();
  return row === null ? null : (row.config as RuntimeConfig);
}

function facts(
  rollout: Doc<"rollouts">,
  workers: ReadonlyArray<Doc<"workers">>,
  active: ActiveConfig,
  blockedBy: string | null,
): RolloutFacts {
  const { rollout: policy, scaling } = active.config;
  const target = workers.filter((worker) => worker.specHash === rollout.specHash);
  const serving = workers.filter((worker) => worker.state === "active");
  const sum = (pick: (worker: Doc<"workers">) => number): number =>
    target.reduce((total, worker) => total + pick(worker), 0);
  return {
    phase: rollout.phase,
    startedAt: rollout.startedAt,
    phaseAt: rollout.phaseAt,
    readyCanaries: target.filter((worker) => worker.state === "active" && worker.readyAt !== undefined)
      .length,
    wantedCanaries: wantedCanaries(policy, serving.length, scaling.maxWorkers),
    bootFailures: rollout.bootFailures,
    lastBootFailure: rollout.lastBootFailure ?? null,
    turnsDone: rollout.turnsDone + sum((worker) => worker.turnsDone),
    turnsFailed: rollout.turnsFailed + sum((worker) => worker.turnsFailed),
    outdatedWorkers: workers.length - target.length,
    blockedBy,
  };
}

/** Writes the former machine spec back as a new revision, its app too; everything else of the config stays as it is. */
async function rollBack(
  ctx: MutationCtx,
  rollout: Doc<"rollouts">,
  active: ActiveConfig,
  reason: string,
): Promise<void> {
  const now = Date.now();
  await ctx.db.patch("rollouts", rollout._id, {
    phase: "rolled_back",
    phaseAt: now,
    finishedAt: now,
    reason,
  });
  const former = await configAt(ctx, rollout.stableRevision);
  // The history is never deleted; without it there is nothing to return to, and the alert says so.
  if (former === null) return;
  const config: RuntimeConfig = {
    ...active.config,
    provider: { ...active.config.provider, ...machineSpec(former.provider) },
  };
  const { revision } = await writeRuntimeConfig(ctx, { config, actor: ROLLBACK_ACTOR, reason });
  await markStable(ctx, revision);
  await raiseAlert(
    ctx,
    "rollout",
    `Revision ${rollout.revision} was rolled back: ${reason}. Mend the image or config, then run \`pulumi refresh\` and \`pulumi up\`.`,
  );
}

/** Decides and writes the rollout's next step, and says what the fleet should be made of. */
export async function advanceRollout(
  ctx: MutationCtx,
  active: ActiveConfig,
  workers: ReadonlyArray<Doc<"workers">>,
  blockedBy: string | null,
): Promise<RolloutView> {
  const now = Date.now();
  const targetHash = await specHash(active.config.provider);
  const target = { revision: active.revision, specHash: targetHash };
  const steady: RolloutView = {
    mode: "steady",
    target,
    stable: target,
    canariesWanted: 0,
    checkAt: null,
    event: null,
  };
  const rollout = await activeRollout(ctx);
  if (rollout === null) return steady;

  const known = facts(rollout, workers, active, blockedBy);
  const stable = { revision: rollout.stableRevision, specHash: rollout.stableSpecHash };
  const canariesWanted = known.wantedCanaries;
  const step = decideRollout(known, active.config.rollout, now);
  switch (step.step) {
    case "stay": {
      const mode = rollout.phase === "replacing" ? "replacing" : "gating";
      return { mode, target, stable, canariesWanted, checkAt: step.checkAt, event: null };
    }
    case "observe":
      await ctx.db.patch("rollouts", rollout._id, { phase: "observing", phaseAt: now });
      return {
        mode: "gating",
        target,
        stable,
        canariesWanted,
        checkAt: now,
        event: "canaries are ready: watching their turns",
      };
    case "promote":
      await ctx.db.patch("rollouts", rollout._id, { phase: "replacing", phaseAt: now });
      return {
        mode: "replacing",
        target,
        stable,
        canariesWanted: 0,
        checkAt: now,
        event: `rollout promoted: ${step.reason}`,
      };
    case "finish":
      await finish(ctx, rollout, workers, now);
      return { ...steady, event: `rollout of revision ${rollout.revision} is done` };
    case "roll_back": {
      await rollBack(ctx, rollout, active, step.reason);
      // From here the former spec is the one in force; the failed one has no place in the fleet.
      const former = { revision: rollout.stableRevision, specHash: rollout.stableSpecHash };
      const event = `rolled back to revision ${rollout.stableRevision}: ${step.reason}`;
      return { mode: "steady", target: former, stable: former, canariesWanted: 0, checkAt: now, event };
    }
  }
}

/** The new spec is the stable one, and its canaries are workers like all others. */
async function finish(
  ctx: MutationCtx,
  rollout: Doc<"rollouts">,
  workers: ReadonlyArray<Doc<"workers">>,
  now: number,
): Promise<void> {
  await ctx.db.patch("rollouts", rollout._id, { phase: "done", phaseAt: now, finishedAt: now });
  for (const worker of workers) {
    if (worker.canary) await ctx.db.patch("workers", worker._id, { canary: false });
  }
  await markStable(ctx, rollout.revision);
  await clearAlerts(ctx, ["rollout"]);
}

async function markStable(ctx: MutationCtx, revision: number): Promise<void> {
  const state = await readScalerState(ctx);
  if (state !== null) await ctx.db.patch("scalerState", state._id, { stableRevision: revision });
}
