/** Exact counts, kept in the transaction that changes what is counted. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

/** Enqueues of different conversations seldom meet in the same row; reading all of them stays cheap. */
export const COUNTER_SHARDS = 8;

const FIELDS = ["queued", "delayed", "processing", "deadLetter", "headsReady", "headsLeased"] as const;
export type Tally = Record<(typeof FIELDS)[number], number>;

export function emptyTally(): Tally {
  return { queued: 0, delayed: 0, processing: 0, deadLetter: 0, headsReady: 0, headsLeased: 0 };
}

/** FNV-1a: spreads names evenly and needs nothing. */
export function shardOf(conversationId: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < conversationId.length; i += 1) {
    hash = Math.imul(hash ^ conversationId.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0) % COUNTER_SHARDS;
}

async function readShard(ctx: QueryCtx, shard: number): Promise<Doc<"queueCounters"> | null> {
  return await ctx.db
    .query("queueCounters")
    .withIndex("by_shard", (q) => q.eq("shard", shard))
    .first();
}

/** Adds a transaction's changes to the shard of its conversation; nothing is read when nothing changed. */
export async function saveTally(ctx: MutationCtx, conversationId: string, tally: Tally): Promise<void> {
  if (FIELDS.every((field) => tally[field] === 0)) return;
  const shard = shardOf(conversationId);
  const row = await readShard(ctx, shard);
  if (row === null) {
    await ctx.db.insert("queueCounters", { shard, ...tally });
    return;
  }
  const next = emptyTally();
  for (const field of FIELDS) next[field] = row[field] + tally[field];
  await ctx.db.patch("queueCounters", row._id, next);
}

/** Sum of all shards: at most COUNTER_SHARDS documents at any backlog. */
export async function readCounts(ctx: QueryCtx): Promise<Tally> {
  const total = emptyTally();
  for (const row of await ctx.db.query("queueCounters").withIndex("by_shard").take(COUNTER_SHARDS)) {
    for (const field of FIELDS) total[field] += row[field];
  }
  return total;
}
