/** Deletes dispatch rows as old as the audit log may be. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";

const BATCH = 500;

/** One bounded batch; goes on by itself while there are more. */
export const pruneDispatches = internalMutation({
  args: {},
  returns: v.object({ deleted: v.number() }),
  handler: async (ctx) => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { deleted: 0 };
    const before = Date.now() - active.config.retention.auditMs;
    const old = await ctx.db
      .query("pushDispatches")
      .withIndex("by_dispatched_at", (q) => q.lt("dispatchedAt", before))
      .take(BATCH);
    for (const { _id } of old) await ctx.db.delete("pushDispatches", _id);
    if (old.length === BATCH) await ctx.scheduler.runAfter(0, internal.schedules.prune.pruneDispatches, {});
    return { deleted: old.length };
  },
});
