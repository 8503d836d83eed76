/** What operators see and do: `npx convex run factory:<name>` with the admin key. */
import { v } from "convex/values";
import { internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { liveWorkers } from "../machines/rows.ts";
import { vWorkerState } from "../machines/tables.ts";
import { forgetBootFailures } from "./bootHealth.ts";
import { readSpend } from "./spend.ts";
import { ensureScalerState } from "./state.ts";
import { ensureTickBy } from "./timer.ts";

const LIST_MAX = 200;

/** `factory:startWorkers`, `factory:reconcileWorkers`: reconcile now, and forget every back-off. */
export const startWorkers = internalMutation({
  args: { actor: v.optional(v.string()) },
  returns: v.object({ activeWorkers: v.number(), spawned: v.number(), terminated: v.number() }),
  handler: async (ctx, { actor }) => {
    await readRuntimeConfig(ctx);
    const state = await ensureScalerState(ctx);
    await ctx.db.patch("scalerState", state._id, {
      backoffUntil: undefined,
      blockedBy: undefined,
      failures: 0,
      regionBlocks: [],
      // Also the listing is due at once: whoever calls this wants the truth, not what was listed before.
      lastListAt: undefined,
    });
    await forgetBootFailures(ctx);
    await ensureTickBy(ctx, Date.now(), "an operator asked");
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "scaler.reconcile",
      target: "fleet",
      outcome: "ok",
    });
    const rows = await liveWorkers(ctx);
    const count = (...states: string[]): number => rows.filter((row) => states.includes(row.state)).length;
    // The reconcile itself runs at once, outside this transaction; these are the numbers as it finds them.
    return { activeWorkers: count("active"), spawned: count("creating"), terminated: count("stopping") };
  },
});

/** `factory:checkIdleShutdowns` (spec H4): who is idle past its time, and when the next one will be. */
export const checkIdleShutdowns = internalMutation({
  args: {},
  returns: v.object({
    checked: v.number(),
    stopped: v.number(),
    pending: v.number(),
    nextCheckScheduled: v.union(v.number(), v.null()),
  }),
  handler: async (ctx) => {
    const now = Date.now();
    const rows = await liveWorkers(ctx);
    const idle = rows.filter(
      (row) => row.state === "active" && row.load === 0 && row.scheduledShutdownAt !== undefined,
    );
    const due = idle.filter((row) => (row.scheduledShutdownAt ?? 0) <= now);
    const later = idle.map((row) => row.scheduledShutdownAt ?? 0).filter((at) => at > now);
    if (due.length > 0) await ensureTickBy(ctx, now, "idle workers are due");
    const nextCheckScheduled = later.length > 0 ? Math.min(...later) : null;
    if (nextCheckScheduled !== null) await ensureTickBy(ctx, nextCheckScheduled, "next idle check");
    return {
      checked: rows.length,
      stopped: rows.filter((row) => row.state === "draining" || row.state === "stopping").length,
      pending: due.length,
      nextCheckScheduled,
    };
  },
});

/** `factory:workerStats` (spec E9). */
export const workerStats = internalQuery({
  args: {},
  returns: v.object({
    activeCount: v.number(),
    idleCount: v.number(),
    warmCount: v.number(),
    machineHoursToday: v.number(),
    workers: v.array(
      v.object({
        workerId: v.string(),
        state: vWorkerState,
        load: v.number(),
        slots: v.number(),
        image: v.string(),
        configRevision: v.number(),
        canary: v.boolean(),
        machineId: v.union(v.string(), v.null()),
        machineState: v.union(v.string(), v.null()),
        region: v.union(v.string(), v.null()),
        createdAt: v.number(),
        readyAt: v.union(v.number(), v.null()),
        lastHeartbeatAt: v.union(v.number(), v.null()),
        scheduledShutdownAt: v.union(v.number(), v.null()),
        stopReason: v.union(v.string(), v.null()),
        turnsDone: v.number(),
        turnsFailed: v.number(),
      }),
    ),
  }),
  handler: async (ctx) => {
    const { config } = await readRuntimeConfig(ctx);
    const rows = await liveWorkers(ctx);
    const active = rows.filter((row) => row.state === "active");
    const spend = await readSpend(ctx, rows, config);
    return {
      activeCount: active.length,
      idleCount: active.filter((row) => row.load === 0).length,
      warmCount: rows.filter((row) => row.state === "warm").length,
      machineHoursToday: Math.round((spend.usedMs / 3_600_000) * 1_000) / 1_000,
      workers: rows.map((row) => ({
        workerId: row.workerId,
        state: row.state,
        load: row.load,
        slots: row.slots,
        image: row.image,
        configRevision: row.configRevision,
        canary: row.canary,
        machineId: row.machineId ?? null,
        machineState: row.machineState ?? null,
        region: row.region ?? null,
        createdAt: row.createdAt,
        readyAt: row.readyAt ?? null,
        lastHeartbeatAt: row.lastHeartbeatAt ?? null,
        scheduledShutdownAt: row.scheduledShutdownAt ?? null,
        stopReason: row.stopReason ?? null,
        turnsDone: row.turnsDone,
        turnsFailed: row.turnsFailed,
      })),
    };
  },
});

/** `factory:scalerDecisions`: what the scaler decided and why, newest first. */
export const scalerDecisions = internalQuery({
  args: { limit: v.optional(v.number()) },
  returns: v.array(
    v.object({
      at: v.number(),
      text: v.string(),
      due: v.number(),
      running: v.number(),
      desired: v.number(),
      live: v.number(),
      warm: v.number(),
    }),
  ),
  handler: async (ctx, { limit }) => {
    const rows = await ctx.db
      .query("scalerDecisions")
      .withIndex("by_seq")
      .order("desc")
      .take(Math.min(LIST_MAX, Math.max(1, limit ?? 50)));
    return rows.map(({ at, text, due, running, desired, live, warm }) => ({
      at,
      text,
      due,
      running,
      desired,
      live,
      warm,
    }));
  },
});
