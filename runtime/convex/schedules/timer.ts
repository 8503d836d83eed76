/**
 * The self-scheduled dispatch: one pending timer at the earliest slot, so that a slot fires at its minute. The hourly
 * cron is behind it, for timers that were lost.
 */
import { internal } from "../_generated/api.js";
import type { MutationCtx } from "../_generated/server.js";

/** Makes sure that a dispatch is scheduled for the earliest slot, and only one. `notBefore` keeps failures from spinning. */
export async function armTimer(ctx: MutationCtx, notBefore: number): Promise<void> {
  const earliest = await ctx.db
    .query("pushJobs")
    .withIndex("by_next_run", (q) => q.eq("enabled", true).gt("nextRunAt", 0))
    .first();
  const wanted = earliest?.nextRunAt === undefined ? null : Math.max(earliest.nextRunAt, notBefore);
  const timer = await ctx.db.query("pushTimer").first();
  if (timer !== null && timer.fireAt === wanted && timer.fireAt > Date.now()) return;
  if (timer !== null) {
    const scheduled = await ctx.db.system.get("_scheduled_functions", timer.scheduledId);
    if (scheduled?.state.kind === "pending") await ctx.scheduler.cancel(timer.scheduledId);
    await ctx.db.delete("pushTimer", timer._id);
  }
  if (wanted === null) return;
  const scheduledId = await ctx.scheduler.runAt(wanted, internal.schedules.dispatch.dispatchDuePushJobs, {});
  await ctx.db.insert("pushTimer", { fireAt: wanted, scheduledId });
}
