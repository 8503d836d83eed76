/**
 * The loop: tick (a mutation, runs exactly once) starts a pass (an action, runs at most once), which ends by
 * asking for the next tick, or for none. One pass at a time; kicks that arrive meanwhile make one more. A pass
 * that dies is noticed by its watchdog (a mutation). Nothing runs while nothing is pending.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import { lifecycleLimits, workerFacts } from "../machines/facts.ts";
import { liveWorkers } from "../machines/rows.ts";
import { nextWorkerStep } from "../policy/lifecycle.ts";
import { clearAlerts, raiseAlert } from "./alerts.ts";
import { logDecision } from "./decisions.ts";
import { readDemand } from "./demand.ts";
import { noteProviderHealth } from "./providerHealth.ts";
import { vFailure } from "./shapes.ts";
import { ensureScalerState, holdsPass, readScalerState } from "./state.ts";
import { cancelPending, ensureTickBy, takeTick, TICK_SPACING_MS } from "./timer.ts";

/** A pass silent for this long is dead: longer than any single call with its retry, ms. */
export const PASS_SILENCE_MS = 45_000;
/** A tick this late means that the backend itself was away: heartbeats missed meanwhile say nothing, ms. */
const BACKEND_AWAY_MS = 10_000;
/** Next try after a refusal that people must mend (a missing secret), ms. */
const REFUSED_RETRY_MS = 5 * 60_000;

export const tick = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const { lateMs } = await takeTick(ctx);
    if ((await readRuntimeConfigOrNull(ctx)) === null) return null;
    const state = await ensureScalerState(ctx);
    const now = Date.now();
    if (
      state.passStartedAt !== undefined &&
      now - (state.passSignAt ?? state.passStartedAt) < PASS_SILENCE_MS
    ) {
      // Single flight: the running pass asks for another tick when it ends.
      await ctx.db.patch("scalerState", state._id, { dirty: true });
      return null;
    }
    const generation = state.generation + 1;
    if (state.watchdogId !== undefined) await cancelPending(ctx, state.watchdogId);
    const watchdogId = await ctx.scheduler.runAfter(PASS_SILENCE_MS, internal.scaler.loop.watchdog, {
      generation,
    });
    await ctx.db.patch("scalerState", state._id, {
      generation,
      passStartedAt: now,
      passSignAt: now,
      dirty: false,
      watchdogId,
      ...(lateMs > BACKEND_AWAY_MS ? { silenceCountsFrom: now } : {}),
    });
    await ctx.scheduler.runAfter(0, internal.scaler.pass.run, { generation });
    return null;
  },
});

/** Runs when a pass may have died. Scheduled actions run at most once, so nothing else would tell. */
export const watchdog = internalMutation({
  args: { generation: v.number() },
  returns: v.null(),
  handler: async (ctx, { generation }) => {
    const state = await readScalerState(ctx);
    if (!holdsPass(state, generation)) return null;
    const silentAt = (state.passSignAt ?? 0) + PASS_SILENCE_MS;
    if (Date.now() < silentAt) {
      const watchdogId = await ctx.scheduler.runAt(silentAt, internal.scaler.loop.watchdog, { generation });
      await ctx.db.patch("scalerState", state._id, { watchdogId });
      return null;
    }
    // From here on the dead pass, should it be only slow, may begin no call: it does not hold the loop.
    await ctx.db.patch("scalerState", state._id, {
      passStartedAt: undefined,
      passSignAt: undefined,
      watchdogId: undefined,
    });
    const numbers = { due: 0, running: 0, desired: 0, live: 0, warm: 0 };
    await logDecision(
      ctx,
      generation,
      `pass ${generation} gave no sign for ${PASS_SILENCE_MS / 1_000} s: starting anew`,
      numbers,
    );
    await ensureTickBy(ctx, Date.now(), "a pass was lost");
    return null;
  },
});

/** The outcome of a pass's listing. */
export const noteListing = internalMutation({
  args: {
    generation: v.number(),
    failure: v.union(vFailure, v.null()),
    /** Its owner was asked for, and is ours. */
    ownerChecked: v.union(v.string(), v.null()),
    /** What a former app answered instead of a listing. It holds nothing back in the app in force. */
    former: v.union(v.string(), v.null()),
  },
  returns: v.null(),
  handler: async (ctx, { generation, failure, ownerChecked, former }) => {
    const state = await readScalerState(ctx);
    if (!holdsPass(state, generation)) return null;
    const now = Date.now();
    await ctx.db.patch("scalerState", state._id, { passSignAt: now });
    if (ownerChecked !== null) {
      await ctx.db.patch("scalerState", state._id, { ownerCheckedAt: now, ownerCheckedApp: ownerChecked });
    }
    if (former === null) await clearAlerts(ctx, ["former_app"]);
    else {
      const advice = "Workers in the app that this stack is leaving cannot be looked after";
      await raiseAlert(ctx, "former_app", `${advice}: ${former}`);
    }
    // An app that is not ours is not to be asked about again before the back-off; the same for all failures.
    if (failure !== null && failure.kind === "not_found") {
      await noteProviderHealth(ctx, "list", { ...failure, kind: "rejected" });
    } else await noteProviderHealth(ctx, "list", failure);
    return null;
  },
});

/** The end of a pass: asks for the next tick, if anything is pending. */
export const end = internalMutation({
  args: {
    generation: v.number(),
    nextTickAt: v.union(v.number(), v.null()),
    /** What people must mend before the loop can work. */
    refused: v.union(v.string(), v.null()),
  },
  returns: v.null(),
  handler: async (ctx, { generation, nextTickAt, refused }) => {
    const state = await readScalerState(ctx);
    if (!holdsPass(state, generation)) return null;
    if (state.watchdogId !== undefined) await cancelPending(ctx, state.watchdogId);
    await ctx.db.patch("scalerState", state._id, {
      passStartedAt: undefined,
      passSignAt: undefined,
      watchdogId: undefined,
      dirty: false,
    });
    const now = Date.now();
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return null;
    if (refused !== null) {
      await raiseAlert(ctx, "config", refused);
      const numbers = { due: 0, running: 0, desired: 0, live: 0, warm: 0 };
      await logDecision(ctx, generation, `cannot reconcile: ${refused}`, numbers);
      await ensureTickBy(ctx, now + REFUSED_RETRY_MS, "after a refusal");
      return null;
    }
    const { scaling } = active.config;
    const listAgainAt = (state.lastListAt ?? 0) + scaling.reconcileIntervalMs;
    const backoffUntil = state.backoffUntil ?? 0;
    const times: number[] = [];
    if (nextTickAt !== null) times.push(nextTickAt);
    // A kick came while the pass was running: what it is about may not have been seen.
    if (state.dirty) times.push(now + TICK_SPACING_MS);
    const limits = lifecycleLimits(active.config, state.silenceCountsFrom ?? 0);
    const rows = await liveWorkers(ctx);
    for (const row of rows) {
      const step = nextWorkerStep(workerFacts(row, null), limits, now);
      if (row.op !== undefined) times.push(Math.max(now + TICK_SPACING_MS, listAgainAt));
      else if (step.do !== "wait") times.push(now + TICK_SPACING_MS);
      else if (step.checkAt !== null) times.push(step.checkAt);
    }
    if (backoffUntil > now && (rows.length > 0 || state.blockedBy !== undefined)) times.push(backoffUntil);
    const next = times.length === 0 ? null : Math.min(...times);
    if (next !== null) await ensureTickBy(ctx, next, "next step");
    return null;
  },
});

/**
 * The fallback behind the loop's own scheduling (spec H5): looks whether anything is pending that nobody has
 * asked about. In an idle environment it reads a few rows and ends.
 */
export const fallback = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return null;
    const rows = await liveWorkers(ctx);
    const orphan = await ctx.db.query("orphanMachines").first();
    const demand = await readDemand(ctx, active.config.turn.dedication);
    const pending = rows.length > 0 || orphan !== null || demand.due + demand.running > 0;
    if (pending || active.config.scaling.minWorkers > 0) await ensureTickBy(ctx, Date.now(), "fallback");
    else await clearAlerts(ctx, ["provider"]);
    return null;
  },
});
