/** What needs an operator: one row per kind, gone when it is over. */
import type { MutationCtx } from "../_generated/server.js";
import { clipText } from "../policy/clipText.ts";

/** Longest text kept; providers' bodies can be long. */
const MESSAGE_MAX = 1_000;

export async function raiseAlert(ctx: MutationCtx, kind: string, message: string): Promise<void> {
  const now = Date.now();
  const existing = await ctx.db
    .query("scalerAlerts")
    .withIndex("by_kind", (q) => q.eq("kind", kind))
    .first();
  const shown = clipText(message, MESSAGE_MAX);
  if (existing === null) {
    await ctx.db.insert("scalerAlerts", { kind, message: shown, since: now, lastAt: now, count: 1 });
  } else {
    await ctx.db.patch("scalerAlerts", existing._id, {
      message: shown,
      lastAt: now,
      count: existing.count + 1,
    });
  }
}

/** Kinds end here when their cause is over; unknown kinds are no error. */
export async function clearAlerts(ctx: MutationCtx, kinds: readonly string[]): Promise<void> {
  for (const kind of kinds) {
    const existing = await ctx.db
      .query("scalerAlerts")
      .withIndex("by_kind", (q) => q.eq("kind", kind))
      .first();
    if (existing !== null) await ctx.db.delete("scalerAlerts", existing._id);
  }
}
