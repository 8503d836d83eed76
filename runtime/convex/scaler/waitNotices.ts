/** Tells people, once per cause, that their message waits for longer than a start takes. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import type { Demand } from "../policy/scaling.ts";
import { storeNotice } from "../replies/outbox.ts";
import { clearAlerts, raiseAlert } from "./alerts.ts";
import type { SpendView } from "./spend.ts";

/** Conversations told per transaction. */
const PAGE = 50;
const SPEND = "spend";
/** What the person reads: no numbers of ours, only what it means for them. */
const SPEND_TEXT =
  "Your message has been received. Today's capacity is used up, so the answer will come later.";

/** Call once per plan: starts or ends the telling. */
export async function noteWaiting(
  ctx: MutationCtx,
  facts: { spend: SpendView; demand: Demand },
): Promise<void> {
  if (!facts.spend.reached) {
    await clearAlerts(ctx, [SPEND]);
    const told = await ctx.db
      .query("waitNotices")
      .withIndex("by_cause_conversation", (q) => q.eq("cause", SPEND))
      .first();
    if (told !== null) await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.forget, {});
    return;
  }
  await raiseAlert(
    ctx,
    SPEND,
    `Spend ceiling: ${facts.spend.text}. Raise spend.machineHoursPerDayMax and run \`pulumi up\` to go on at once.`,
  );
  if (facts.demand.due > 0) await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.tell, { after: 0 });
}

/** Tells those whose conversation is due and who have not been told; goes on page by page. */
export const tell = internalMutation({
  args: { after: v.number() },
  returns: v.null(),
  handler: async (ctx, { after }) => {
    const heads = await ctx.db
      .query("conversationHeads")
      .withIndex("by_due", (q) => q.eq("state", "ready").gte("dueAt", after))
      .take(PAGE);
    for (const head of heads) {
      const told = await ctx.db
        .query("waitNotices")
        .withIndex("by_cause_conversation", (q) => q.eq("cause", SPEND).eq("conversation", head.conversation))
        .first();
      if (told !== null) continue;
      await ctx.db.insert("waitNotices", { conversation: head.conversation, cause: SPEND, at: Date.now() });
      const message = await ctx.db.get("messageQueue", head.message);
      if (message === null || message.destination === null) continue;
      await storeNotice(ctx, {
        conversation: { conversationId: message.conversationId },
        destination: message.destination,
        text: SPEND_TEXT,
        reason: SPEND,
      });
    }
    const last = heads.at(-1);
    if (heads.length === PAGE && last !== undefined && last.dueAt > after) {
      await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.tell, { after: last.dueAt });
    }
    return null;
  },
});

/** The cause is over: whoever waits at the next one is told again. */
export const forget = internalMutation({
  args: {},
  returns: v.null(),
  handler: async (ctx) => {
    const rows = await ctx.db
      .query("waitNotices")
      .withIndex("by_cause_conversation", (q) => q.eq("cause", SPEND))
      .take(PAGE);
    for (const row of rows) await ctx.db.delete("waitNotices", row._id);
    if (rows.length === PAGE) await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.forget, {});
    return null;
  },
});
