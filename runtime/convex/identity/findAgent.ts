import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";

/** The profile of an agent, enabled or not; null when there is none. One document. */
export async function findAgent(ctx: QueryCtx, agentKey: string): Promise<Doc<"agentProfiles"> | null> {
  return await ctx.db
    .query("agentProfiles")
    .withIndex("by_agent_key", (q) => q.eq("agentKey", agentKey))
    .first();
}
