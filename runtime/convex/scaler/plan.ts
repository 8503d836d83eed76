/** The deciding half of a pass: one transaction that looks at everything and records what it wants. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { liveWorkers } from "../machines/rows.ts";
import { bootHold } from "../policy/bootHealth.ts";
import { decisionText } from "../policy/decisionText.ts";
import { planFleet } from "../policy/fleet.ts";
import { wantedWorkers } from "../policy/scaling.ts";
import { warmTarget } from "../policy/warmPool.ts";
import { logDecision } from "./decisions.ts";
import { factoryOwner } from "./environment.ts";
import { carryOut, fleetWorker } from "./fleetMoves.ts";
import { nextTick } from "./nextTick.ts";
import { knownOrphans, matchMachines, noteOrphans } from "./orphans.ts";
import { raiseAlert, clearAlerts } from "./alerts.ts";
import { advanceRollout } from "./rolloutStep.ts";
import { settleWorkers } from "./settle.ts";
import { type PlannedOp, vDemand, vListing, vPlannedOp } from "./shapes.ts";
import { readSpend } from "./spend.ts";
import { holdsPass, readScalerState } from "./state.ts";
import { noteWaiting } from "./waitNotices.ts";

/** Calls of one pass; the rest follow in the next one, so that a pass stays short. */
const OPS_PER_PASS_MAX = 30;

export const plan = internalMutation({
  args: {
    generation: v.number(),
    demand: vDemand,
    /** Of the apps that this pass listed; empty when it listed none. */
    listings: v.array(vListing),
  },
  returns: v.union(
    v.null(),
    v.object({ ops: v.array(vPlannedOp), nextTickAt: v.union(v.number(), v.null()) }),
  ),
  handler: async (ctx, { generation, demand, listings }) => {
    const state = await readScalerState(ctx);
    if (!holdsPass(state, generation)) return null;
    const now = Date.now();
    const active = await readRuntimeConfig(ctx);
    const { scaling, rollout } = active.config;
    const owner = factoryOwner();
    const inForce = active.config.provider.appName;
    const listed = listings.map((listing) => listing.appName);
    await ctx.db.patch("scalerState", state._id, {
      passSignAt: now,
      ...(listed.includes(inForce) ? { lastListAt: now } : {}),
    });

    const before = await liveWorkers(ctx);
    const matched = matchMachines(before, listings, owner);
    const settled = await settleWorkers(
      ctx,
      before,
      { machines: matched.byWorker, apps: listed },
      active,
      state.silenceCountsFrom ?? 0,
    );
    const orphans =
      listed.length === 0
        ? await knownOrphans(ctx, scaling.missingMachineGraceMs)
        : await noteOrphans(ctx, matched.unmatched, { listed, inForce }, scaling.missingMachineGraceMs);
    if (matched.foreign > 0) {
      await raiseAlert(
        ctx,
        "foreign_machines",
        `${matched.foreign} machines in the app are not this deployment's; they are left alone.`,
      );
    } else if (listed.length > 0) await clearAlerts(ctx, ["foreign_machines"]);

    const rows = await liveWorkers(ctx);
    const spend = await readSpend(ctx, rows, active.config);
    // Read again: what became of the workers may have added a boot that failed.
    const hold = holdOf((await readScalerState(ctx)) ?? state, now);
    const retired = active.retired === true;
    const blockedBy = retired
      ? "the stack is being destroyed"
      : spend.reached
        ? spend.text
        : (hold?.why ?? null);
    const view = await advanceRollout(ctx, active, rows, blockedBy);
    const { needed, desired } = wantedWorkers(demand, scaling);
    const fleet = planFleet(
      {
        workers: rows.map((row) => fleetWorker(view, row, now)),
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
    const events = [...settled.events, ...(view.event === null ? [] : [view.event])];
    const beyond = Math.max(0, needed - scaling.maxWorkers);
    const short = fleet.short + beyond;
    const shortBecause = fleet.shortBecause ?? (beyond > 0 ? `ceiling ${scaling.maxWorkers} reached` : null);
    const tellAt = await noteWaiting(ctx, { spend, due: demand.due, short: short > 0 && !retired });
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

    const destroys: PlannedOp[] = orphans.destroy.map((machine) => ({ target: "orphan", ...machine }));
    const wanted = [...settled.ops.filter((op) => !superseded(op, moves)), ...moves, ...destroys];
    const blockedUntil = hold !== null && fleet.short > 0 ? hold.until : null;
    // With no worker at work and none to be had, what is due changes nothing until one of these times.
    const helpless = blockedBy !== null && after.every((row) => row.state === "warm");
    const nextTickAt = nextTick(after, helpless ? null : demand, view, active, [
      tellAt,
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

/** Why nothing may be made or started for a while: the provider's failures, or workers that do not come up. */
function holdOf(state: Doc<"scalerState">, now: number): { until: number; why: string } | null {
  if (state.backoffUntil !== undefined && state.backoffUntil > now) {
    return { until: state.backoffUntil, why: state.blockedBy ?? "backing off" };
  }
  return bootHold(state.bootHealth ?? null, now);
}

/** A row that the fleet's plan has moved on needs no second call in the same pass. */
function superseded(op: PlannedOp, moves: readonly PlannedOp[]): boolean {
  if (op.target !== "worker") return false;
  return moves.some((move) => move.target === "worker" && move.workerId === op.workerId);
}
