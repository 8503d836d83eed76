/** The deciding half of a pass: one transaction that looks at everything and records what it wants. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { type ActiveConfig, readRuntimeConfig } from "../config/read.ts";
import { workerName, workerToken } from "../machines/credentials.ts";
import { lastMachineState, lifecycleLimits, workerFacts } from "../machines/facts.ts";
import type { ObservedMachine } from "../machines/provider.ts";
import { drainWorker, endWorker, liveWorkers, closeWorker, wakeWarm } from "../machines/rows.ts";
import { createSignals } from "../machines/signals.ts";
import { decisionText } from "../policy/decisionText.ts";
import { type FleetStep, type FleetWorker, planFleet } from "../policy/fleet.ts";
import { nextWorkerStep } from "../policy/lifecycle.ts";
import { type MachineState, readMachineState } from "../policy/machineStates.ts";
import { type Demand, wantedWorkers } from "../policy/scaling.ts";
import { nextWarmChange, warmTarget } from "../policy/warmPool.ts";
import { sha256Hex } from "../secrets/digest.ts";
import { applyStep, restKind } from "./apply.ts";
import { logDecision } from "./decisions.ts";
import { factoryOwner, workerTokenKey } from "./environment.ts";
import { knownOrphans, matchMachines, noteOrphans } from "./orphans.ts";
import { raiseAlert, clearAlerts } from "./alerts.ts";
import { advanceRollout, type RolloutView, roleOf } from "./rolloutStep.ts";
import { type PlannedOp, vDemand, vObserved, vPlannedOp } from "./shapes.ts";
import { readSpend } from "./spend.ts";
import { holdsPass, readScalerState } from "./state.ts";
import { noteWaiting } from "./waitNotices.ts";

/** Calls of one pass; the rest follow in the next one, so that a pass stays short. */
const OPS_PER_PASS_MAX = 30;

/** Earlier of two times, null meaning never. */
function earlier(a: number | null, b: number | null): number | null {
  return a === null ? b : b === null ? a : Math.min(a, b);
}

/** Lifecycle of each row first: what became of the machines that we know of. */
async function settleWorkers(
  ctx: MutationCtx,
  rows: ReadonlyArray<Doc<"workers">>,
  machines: Map<string, ObservedMachine> | null,
  active: ActiveConfig,
  silenceCountsFrom: number,
): Promise<{ ops: PlannedOp[]; events: string[]; checkAt: number | null }> {
  const limits = lifecycleLimits(active.config, silenceCountsFrom);
  const now = Date.now();
  const ops: PlannedOp[] = [];
  const events: string[] = [];
  let checkAt: number | null = null;
  for (const row of rows) {
    const machine = machines?.get(row.workerId) ?? null;
    const listed: MachineState | null =
      machines === null ? null : machine === null ? "missing" : readMachineState(machine.state);
    const next = nextWorkerStep(workerFacts(row, listed), limits, now);
    // A row that has a volume closes by way of a look at its machine, which takes the volume along.
    const viaVerify = next.do === "close" && row.volumeId !== undefined && row.machineId !== undefined;
    const step = viaVerify ? { do: "verify" as const } : next;
    const applied = await applyStep(ctx, row, step, machine, active.config);
    if (applied.event !== null) events.push(applied.event);
    if (applied.op !== null) ops.push({ target: "worker", workerId: row.workerId, kind: applied.op });
    checkAt = earlier(checkAt, applied.checkAt);
    if (machine === null) continue;
    // What a listing shows settles the question that an unanswered call had left open.
    const fresh = await ctx.db.get("workers", row._id);
    if (fresh === null || fresh.state === "stopped") continue;
    await ctx.db.patch("workers", row._id, {
      machineState: machine.state,
      machineStateAt: now,
      ...(applied.op === null ? { op: undefined } : {}),
    });
  }
  return { ops, events, checkAt };
}

function fleetWorker(view: RolloutView, row: Doc<"workers">): FleetWorker {
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
async function carryOut(
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

/** When the loop must look again by itself; null: nothing is pending. */
function nextTick(
  rows: ReadonlyArray<Doc<"workers">>,
  demand: Demand,
  view: RolloutView,
  active: ActiveConfig,
  times: ReadonlyArray<number | null>,
): number | null {
  const { scaling } = active.config;
  const now = Date.now();
  let next = times.reduce<number | null>(earlier, null);
  next = earlier(next, nextWarmChange(scaling.warmPool, now));
  const moving = rows.some(
    (row) =>
      row.state === "creating" ||
      row.state === "draining" ||
      row.state === "stopping" ||
      row.op !== undefined,
  );
  const busy = demand.due + demand.running > 0 || rows.some((row) => row.load > 0);
  if (moving || busy || view.mode !== "steady") next = earlier(next, now + scaling.reconcileIntervalMs);
  return next;
}

export const plan = internalMutation({
  args: {
    generation: v.number(),
    demand: vDemand,
    /** null when this pass did not list. */
    listing: v.union(v.array(vObserved), v.null()),
  },
  returns: v.union(
    v.null(),
    v.object({ ops: v.array(vPlannedOp), nextTickAt: v.union(v.number(), v.null()) }),
  ),
  handler: async (ctx, { generation, demand, listing }) => {
    const state = await readScalerState(ctx);
    if (!holdsPass(state, generation)) return null;
    const now = Date.now();
    const active = await readRuntimeConfig(ctx);
    const { scaling, rollout } = active.config;
    const owner = factoryOwner();
    await ctx.db.patch("scalerState", state._id, {
      passSignAt: now,
      ...(listing === null ? {} : { lastListAt: now }),
    });

    const before = await liveWorkers(ctx);
    const matched = listing === null ? null : matchMachines(before, listing, owner);
    const settled = await settleWorkers(
      ctx,
      before,
      matched?.byWorker ?? null,
      active,
      state.silenceCountsFrom ?? 0,
    );
    const orphans =
      matched === null
        ? await knownOrphans(ctx, scaling.missingMachineGraceMs)
        : await noteOrphans(ctx, matched.unmatched, scaling.missingMachineGraceMs);
    if (matched !== null && matched.foreign > 0) {
      await raiseAlert(
        ctx,
        "foreign_machines",
        `${matched.foreign} machines in the app are not this deployment's; they are left alone.`,
      );
    } else if (matched !== null) await clearAlerts(ctx, ["foreign_machines"]);

    const rows = await liveWorkers(ctx);
    const spend = await readSpend(ctx, rows, active.config);
    const backedOff =
      state.backoffUntil !== undefined && state.backoffUntil > now
        ? (state.blockedBy ?? "backing off")
        : null;
    const retired = active.retired === true;
    const blockedBy = retired ? "the stack is being destroyed" : spend.reached ? spend.text : backedOff;
    const view = await advanceRollout(ctx, active, rows, blockedBy);
    const { needed, desired } = wantedWorkers(demand, scaling);
    const fleet = planFleet(
      {
        workers: rows.map((row) => fleetWorker(view, row)),
        mode: view.mode,
        desired,
        maxWorkers: scaling.maxWorkers,
        orphans: orphans.present,
        warm: warmTarget(scaling.warmPool, now),
        canariesWanted: view.canariesWanted,
        canariesServeAll: rollout.canaryAgentKeys.length === 0,
        replaceAtOnceMax: rollout.replaceAtOnceMax,
        blockedBy,
        spendReached: spend.reached,
        retired,
      },
      now,
    );
    const moves = await carryOut(
      ctx,
      fleet.steps,
      new Map(rows.map((row) => [row.workerId, row])),
      view,
      active,
    );
    const after = await liveWorkers(ctx);
    await noteWaiting(ctx, { spend, demand });

    const events = [...settled.events, ...(view.event === null ? [] : [view.event])];
    const beyond = Math.max(0, needed - scaling.maxWorkers);
    const short = fleet.short + beyond;
    const shortBecause = fleet.shortBecause ?? (beyond > 0 ? `ceiling ${scaling.maxWorkers} reached` : null);
    if (fleet.steps.length + events.length + short > 0) {
      const serving = after.filter((row) => row.state === "active");
      const numbers = { due: demand.due, running: demand.running };
      const text = decisionText({
        ...numbers,
        workers: serving.length,
        freeSlots: serving.reduce((sum, row) => sum + Math.max(0, row.slots - row.load), 0),
        booting: after.filter((row) => row.state === "creating").length,
        warm: after.filter((row) => row.state === "warm").length,
        steps: fleet.steps,
        short,
        shortBecause,
        events,
      });
      const warm = after.filter((row) => row.state === "warm").length;
      await logDecision(ctx, generation, text, { ...numbers, desired, live: after.length, warm });
    }

    const destroys: PlannedOp[] = orphans.destroy.map((machineId) => ({ target: "orphan", machineId }));
    const wanted = [...settled.ops.filter((op) => !superseded(op, moves)), ...moves, ...destroys];
    const blockedUntil = backedOff !== null && fleet.short > 0 ? (state.backoffUntil ?? null) : null;
    const nextTickAt = nextTick(after, demand, view, active, [
      settled.checkAt,
      orphans.checkAt,
      fleet.checkAt,
      view.checkAt,
      blockedUntil,
      spend.checkAt,
    ]);
    return { ops: wanted.slice(0, OPS_PER_PASS_MAX), nextTickAt };
  },
});

/** A row that the fleet's plan has moved on needs no second call in the same pass. */
function superseded(op: PlannedOp, moves: readonly PlannedOp[]): boolean {
  if (op.target !== "worker") return false;
  return moves.some((move) => move.target === "worker" && move.workerId === op.workerId);
}
