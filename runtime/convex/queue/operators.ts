/** What operators may do to the queue by hand; each is what a timer does anyway. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation } from "../_generated/server.js";
import { kickScaler } from "../scaler/kick.ts";

/** `factory:releaseStuckJobs`: recovers the leases that have expired. `more`: the rest follows by itself. */
export const releaseStuckJobs = internalMutation({
  args: {},
  returns: v.object({ released: v.number(), more: v.boolean() }),
  handler: async (ctx): Promise<{ released: number; more: boolean }> => {
    const swept: { recovered: number; unfit: number; more: boolean } = await ctx.runMutation(
      internal.queue.recovery.sweepLeases,
      {},
    );
    return { released: swept.recovered, more: swept.more };
  },
});

/** `factory:recoverQueue`: everything that the timers would do, now. */
export const recoverQueue = internalMutation({
  args: {},
  returns: v.object({ released: v.number(), promoted: v.number(), woken: v.number() }),
  handler: async (ctx): Promise<{ released: number; promoted: number; woken: number }> => {
    const leases: { recovered: number; unfit: number; more: boolean } = await ctx.runMutation(
      internal.queue.recovery.sweepLeases,
      {},
    );
    const queue: { promoted: number; woken: number; leasesExpired: boolean } = await ctx.runMutation(
      internal.queue.sweep.sweepQueue,
      {},
    );
    await kickScaler(ctx, "an operator asked for a recovery");
    return { released: leases.recovered, promoted: queue.promoted, woken: queue.woken };
  },
});
