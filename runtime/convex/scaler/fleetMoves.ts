/** The fleet's rules and the rows: what the rules may know of a row, and how their steps are written. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import type { ActiveConfig } from "../config/read.ts";
import { workerName, workerToken } from "../machines/credentials.ts";
import { lastMachineState, workerFacts } from "../machines/facts.ts";
import { closeWorker, drainWorker, endWorker, recallWorker, wakeWarm } from "../machines/rows.ts";
import { createSignals } from "../machines/signals.ts";
import type { FleetStep, FleetWorker } from "../policy/fleetFacts.ts";
import { wayBack } from "../policy/lifecycle.ts";
import { sha256Hex } from "../secrets/digest.ts";
import { restKind } from "./apply.ts";
import { factoryOwner, workerTokenKey } from "./environment.ts";
import { type RolloutView, roleOf } from "./rolloutStep.ts";
import type { PlannedOp } from "./shapes.ts";
import { readScalerState } from "./state.ts";

/** A row as the fleet's rules see it. */
export function fleetWorker(view: RolloutView, row: Doc<"workers">, now: number): FleetWorker {
  return {
    workerId: row.workerId,
    state: row.state,
    spec: roleOf(view, row),
    load: row.load,
    healthy: row.state === "active" && row.suspectSince === undefined,
    idleUntil: row.load === 0 ? (row.scheduledShutdownAt ?? null) : null,
    warmSince: row.warmSince ?? null,
    machineState: lastMachineState(row),
    retireTo: row.retireTo ?? null,
    wayBack: wayBack(workerFacts(row, lastMachineState(row)), now),
    awaited: row.awaitedUntil !== undefined,
    prewarm: row.prewarm === true,
  };
}

/** A new row, written before its machine exists. */
async function insertWorker(
  ctx: MutationCtx,
  step: Extract<FleetStep, { do: "new" }>,
  view: RolloutView,
  active: ActiveConfig,
): Promise<string> {
  const state = await readScalerState(ctx);
  if (state === null) throw new Error("the scaler's state row is missing");
  const workerId = await workerName(factoryOwner(), state.nameSalt, state.nextWorkerNumber);
  await ctx.db.patch("scalerState", state._id, { nextWorkerNumber: state.nextWorkerNumber + 1 });
  const spec = view[step.spec];
  const history = await ctx.db
    .query("runtimeConfigHistory")
    .withIndex("by_revision", (q) => q.eq("revision", spec.revision))
    .first();
  const provider = ((history?.config ?? active.config) as ActiveConfig["config"]).provider;
  const tokenHash = await sha256Hex(await workerToken(workerTokenKey(), workerId));
  await ctx.db.insert("workers", {
    workerId,
    state: "creating",
    tokenHash,
    appName: provider.appName,
    image: provider.image,
    configRevision: history === null ? active.revision : spec.revision,
    specHash: spec.specHash,
    load: 0,
    slots: active.config.scaling.jobsPerWorker,
    hasFreeSlot: false,
    canary: step.canary,
    createdAt: Date.now(),
    turnsDone: 0,
    turnsFailed: 0,
    ...(step.prewarm ? { prewarm: true } : {}),
  });
  await createSignals(ctx, workerId, tokenHash);
  return workerId;
}

/** Writes the fleet's steps and adds the calls they ask for. */
export async function carryOut(
  ctx: MutationCtx,
  steps: readonly FleetStep[],
  rows: ReadonlyMap<string, Doc<"workers">>,
  view: RolloutView,
  active: ActiveConfig,
): Promise<PlannedOp[]> {
  const ops: PlannedOp[] = [];
  const now = Date.now();
  const { turn, drain } = active.config;
  for (const step of steps) {
    if (step.do === "new") {
      ops.push({ target: "worker", workerId: await insertWorker(ctx, step, view, active), kind: "create" });
      continue;
    }
    const row = rows.get(step.workerId);
    if (row === undefined) continue;
    switch (step.do) {
      case "start":
        await wakeWarm(ctx, row);
        ops.push({ target: "worker", workerId: row.workerId, kind: "start" });
        break;
      case "recall":
        await recallWorker(ctx, row);
        break;
      case "await":
        await ctx.db.patch("workers", row._id, { awaitedUntil: step.until });
        break;
      case "serve":
        await ctx.db.patch("workers", row._id, { prewarm: undefined });
        break;
      case "drain": {
        // The row was read in this transaction: a claim that commits meanwhile makes this decision run again.
        const graceMs = drain.drainTimeoutMs + (row.load > 0 ? turn.turnTimeoutMs : 0);
        await drainWorker(ctx, row, step.to, now + graceMs, step.why);
        if (row.load > 0) break;
        if (step.to === "end") await endWorker(ctx, row, step.why);
        const kind = step.to === "warm" ? restKind(active.config) : "destroy";
        ops.push({ target: "worker", workerId: row.workerId, kind });
        break;
      }
      case "end":
        if (row.machineId === undefined && row.op === undefined) {
          await closeWorker(ctx, row, step.why);
        } else {
          await endWorker(ctx, row, step.why);
          if (row.machineId !== undefined)
            ops.push({ target: "worker", workerId: row.workerId, kind: "destroy" });
        }
        break;
    }
  }
  return ops;
}
