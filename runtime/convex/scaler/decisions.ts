/** The scaler's log for people: what it decided and why. */
import type { MutationCtx } from "../_generated/server.js";
import { clipText } from "../policy/clipText.ts";

/** Rows kept; about a day of a busy environment. */
const DECISIONS_MAX = 500;
/** Rows removed per write at most, so that an old surplus goes gently. */
const REMOVED_PER_WRITE = 5;

export interface DecisionNumbers {
  due: number;
  running: number;
  desired: number;
  live: number;
  warm: number;
}

/** Adds a decision unless it only repeats the latest one. */
export async function logDecision(
  ctx: MutationCtx,
  generation: number,
  text: string,
  numbers: DecisionNumbers,
): Promise<void> {
  const latest = await ctx.db.query("scalerDecisions").withIndex("by_seq").order("desc").first();
  if (latest?.text === text) return;
  const seq = (latest?.seq ?? 0) + 1;
  await ctx.db.insert("scalerDecisions", {
    at: Date.now(),
    generation,
    seq,
    text: clipText(text, 1_000),
    ...numbers,
  });
  const surplus = await ctx.db
    .query("scalerDecisions")
    .withIndex("by_seq", (q) => q.lte("seq", seq - DECISIONS_MAX))
    .take(REMOVED_PER_WRITE);
  for (const row of surplus) await ctx.db.delete("scalerDecisions", row._id);
}
