/**
 * The net under the lanes' own timers. A restored backup holds no scheduled functions, and a function that a deploy
 * renames is not found when its time comes: a lane that was busy or waiting then would be so for ever.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation } from "../_generated/server.js";
import { TIMER_LATE_MS } from "./lanes.ts";

/** Lanes per sweep; the next one takes the rest. */
const BATCH = 100;

/** With all timers well it reads two index ranges and writes nothing. */
export const sweepLanes = internalMutation({
  args: {},
  returns: v.object({ resumed: v.number() }),
  handler: async (ctx) => {
    const before = Date.now() - TIMER_LATE_MS;
    const busy = await ctx.db
      .query("outboxLanes")
      .withIndex("by_busy_until", (q) => q.gt("busyUntil", 0).lt("busyUntil", before))
      .take(BATCH);
    for (const { _id: laneId, run } of busy) {
      await ctx.scheduler.runAfter(0, internal.replies.delivery.watchLane, { laneId, run });
    }
    const waiting = await ctx.db
      .query("outboxLanes")
      .withIndex("by_wake_at", (q) => q.gt("wakeAt", 0).lt("wakeAt", before))
      .take(BATCH);
    for (const { _id: laneId, run } of waiting) {
      await ctx.scheduler.runAfter(0, internal.replies.delivery.wakeLane, { laneId, run });
    }
    return { resumed: busy.length + waiting.length };
  },
});
