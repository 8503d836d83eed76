/**
 * The cron's safety net under the queue's own timers: expired leases, overdue promotions, and ready heads that
 * nobody was woken for. With nothing to do it reads three index ranges and writes nothing.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfigOrNull } from "../config/read.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { kickScaler } from "../scaler/kick.ts";
import { openConversation } from "./openConversation.ts";
import { promoteHead } from "./promote.ts";
import { wakeForHead } from "./wake.ts";

/** Promotions per transaction: each reads and writes a message and reads the next in line, of up to half a MiB each. */
const PROMOTE_BATCH = 8;
/** Wake-ups per sweep: each woken worker claims until there is no more. */
const WAKE_BATCH = 4;

/** A scheduled promotion this late did not run, ms. */
const PROMOTION_LATE_MS = 1_000;

type Swept = { promoted: number; woken: number; leasesExpired: boolean };

async function promoteOverdue(ctx: MutationCtx, config: RuntimeConfig, now: number): Promise<number> {
  const heads = await ctx.db
    .query("conversationHeads")
    .withIndex("by_due", (q) => q.eq("state", "delayed").lte("dueAt", now - PROMOTION_LATE_MS))
    .take(PROMOTE_BATCH);
  for (const head of heads) await promoteHead(ctx, head, config, now);
  return heads.length;
}

/** Heads that have been ready for twice the grace: their wake-ups led to nothing. */
async function wakeForgotten(ctx: MutationCtx, config: RuntimeConfig, now: number): Promise<number> {
  const heads = await ctx.db
    .query("conversationHeads")
    .withIndex("by_due", (q) => q.eq("state", "ready").lte("dueAt", now - 2 * config.queue.wakeGraceMs))
    .take(WAKE_BATCH);
  for (const head of heads) {
    const conversation = await ctx.db.get("conversations", head.conversation);
    if (conversation === null) continue;
    await wakeForHead(ctx, openConversation(conversation, now), head.message, config);
  }
  return heads.length;
}

export const sweepQueue = internalMutation({
  args: {},
  returns: v.object({ promoted: v.number(), woken: v.number(), leasesExpired: v.boolean() }),
  handler: async (ctx): Promise<Swept> => {
    const active = await readRuntimeConfigOrNull(ctx);
    if (active === null) return { promoted: 0, woken: 0, leasesExpired: false };
    const now = Date.now();
    const promoted = await promoteOverdue(ctx, active.config, now);
    const woken = await wakeForgotten(ctx, active.config, now);
    const expired = await ctx.db
      .query("conversationHeads")
      .withIndex("by_lease_expiry", (q) => q.eq("state", "leased").lte("leaseExpiresAt", now))
      .first();
    // In transactions of its own: what one page of leases needs must not fail the rest of the sweep.
    if (expired !== null) await ctx.scheduler.runAfter(0, internal.queue.recovery.sweepLeases, {});
    if (promoted === PROMOTE_BATCH) await ctx.scheduler.runAfter(0, internal.queue.sweep.sweepQueue, {});
    if (promoted > 0 || woken > 0) await kickScaler(ctx, "the sweep found waiting conversations");
    return { promoted, woken, leasesExpired: expired !== null };
  },
});
