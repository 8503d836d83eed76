import type { QueryCtx } from "../_generated/server.js";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import type { Demand } from "../policy/scaling.ts";

/** Counter shards are few; a bound all the same. */
const SHARDS_MAX = 256;
/** Heads read to count owners of dedicated workers: twice the largest ceiling. */
const HEADS_READ_MAX = 1_000;

/**
 * Conversations that are due or run now. Read in a query of its own, never in the plan's transaction, so that
 * planning and enqueues do not contend for the counters.
 */
export async function readDemand(
  ctx: QueryCtx,
  dedication: RuntimeConfig["turn"]["dedication"],
): Promise<Demand> {
  const shards = await ctx.db.query("queueCounters").take(SHARDS_MAX);
  const due = shards.reduce((sum, shard) => sum + shard.headsReady, 0);
  const running = shards.reduce((sum, shard) => sum + shard.headsLeased, 0);
  if (dedication === "none") return { due, running };

  const perOwner = new Map<string, number>();
  for (const state of ["leased", "ready"] as const) {
    const heads = await ctx.db
      .query("conversationHeads")
      .withIndex("by_order", (q) => q.eq("state", state))
      .take(HEADS_READ_MAX);
    for (const head of heads) {
      const owner = dedication === "agent" ? head.agentKey : head.conversation;
      perOwner.set(owner, (perOwner.get(owner) ?? 0) + 1);
    }
  }
  return { due, running, perOwner: [...perOwner.values()] };
}
