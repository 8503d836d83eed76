import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

/** Least time between two ticks, ms: a burst of messages makes one pass, not one each. */
export const TICK_SPACING_MS = 500;
/** A tick this late was lost (scheduled jobs cancelled by hand, a restored backup): ask for it anew, ms. */
const TICK_LOST_MS = 60_000;

/** Takes back a scheduled job that has not begun; one that runs is left to end. */
export async function cancelPending(ctx: MutationCtx, id: Id<"_scheduled_functions">): Promise<void> {
  const job = await ctx.db.system.get("_scheduled_functions", id);
  if (job?.state.kind === "pending") await ctx.scheduler.cancel(id);
}

/** The timer's row, or null before the first kick. */
export async function readTimer(ctx: QueryCtx): Promise<Doc<"scalerTimer"> | null> {
  return await ctx.db.query("scalerTimer").first();
}

/**
 * Makes sure that a tick runs no later than `at` (ms). While one is already due by then this only reads, so
 * that concurrent enqueues do not contend on the row.
 */
export async function ensureTickBy(ctx: MutationCtx, at: number, reason: string): Promise<void> {
  const now = Date.now();
  const timer = await readTimer(ctx);
  const dueAt = Math.max(at, now, (timer?.lastTickAt ?? 0) + TICK_SPACING_MS);
  if (timer !== null && timer.nextTickAt !== null) {
    const lost = timer.nextTickAt < now - TICK_LOST_MS;
    if (!lost && timer.nextTickAt <= dueAt) return;
    if (timer.scheduledId !== undefined) await cancelPending(ctx, timer.scheduledId);
  }
  const scheduledId = await ctx.scheduler.runAt(dueAt, internal.scaler.loop.tick, {});
  if (timer === null) {
    await ctx.db.insert("scalerTimer", { nextTickAt: dueAt, scheduledId, lastTickAt: 0, reason });
  } else {
    await ctx.db.patch("scalerTimer", timer._id, { nextTickAt: dueAt, scheduledId, reason });
  }
}

/** Called by the tick itself: nothing is due until someone asks again. Returns how late the tick ran, ms. */
export async function takeTick(ctx: MutationCtx): Promise<{ lateMs: number; reason: string }> {
  const now = Date.now();
  const timer = await readTimer(ctx);
  if (timer === null) {
    await ctx.db.insert("scalerTimer", { nextTickAt: null, lastTickAt: now, reason: "first tick" });
    return { lateMs: 0, reason: "first tick" };
  }
  const lateMs = timer.nextTickAt === null ? 0 : Math.max(0, now - timer.nextTickAt);
  await ctx.db.patch("scalerTimer", timer._id, { nextTickAt: null, scheduledId: undefined, lastTickAt: now });
  return { lateMs, reason: timer.reason };
}
