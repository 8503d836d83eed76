/** Ids from outside to ids of a table, inside the company. A malformed id reads like one that does not exist. */
import { v } from "convex/values";
import { internalQuery } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";

export const ownPushJobId = internalQuery({
  args: { companyId: v.string(), jobId: v.string() },
  returns: v.id("pushJobs"),
  handler: async (ctx, { companyId, jobId }) => {
    const id = ctx.db.normalizeId("pushJobs", jobId);
    const job = id === null ? null : await ctx.db.get("pushJobs", id);
    if (job === null || job.companyId !== companyId) {
      throw new FactoryError("not_found", `Push job '${jobId}' not found`);
    }
    return job._id;
  },
});

export const ownBroadcastId = internalQuery({
  args: { companyId: v.string(), broadcastId: v.string() },
  returns: v.id("broadcasts"),
  handler: async (ctx, { companyId, broadcastId }) => {
    const id = ctx.db.normalizeId("broadcasts", broadcastId);
    const broadcast = id === null ? null : await ctx.db.get("broadcasts", id);
    if (broadcast === null || broadcast.companyId !== companyId) {
      throw new FactoryError("not_found", `Broadcast '${broadcastId}' not found`);
    }
    return broadcast._id;
  },
});
