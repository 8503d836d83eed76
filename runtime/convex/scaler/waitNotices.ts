/** Tells people, once per cause, that their message waits for longer than a start takes. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { storeNotice } from "../replies/outbox.ts";
import { clearAlerts, raiseAlert } from "./alerts.ts";
import type { SpendView } from "./spend.ts";

/** Conversations told per transaction: each costs its message, of up to half a MiB. */
const TOLD_PER_RUN = 16;
/** Conversations looked at per transaction: one that was told before costs two small rows. */
const LOOKED_AT_PER_RUN = 400;
/** Rows forgotten per transaction. */
const PAGE = 200;
/** spend: the day's machine time is used up. capacity: workers are wanted that cannot be had. */
const vCause = v.union(v.literal("spend"), v.literal("capacity"));
type Cause = typeof vCause.type;
/** A head in the order of waiting: a whole crowd may be due in the same millisecond. */
const vPlace = v.object({ dueAt: v.number(), createdAt: v.number() });
type Place = typeof vPlace.type;
/** How long a message is due before its sender hears of a want of capacity: longer than a cold start takes, ms. */
export const CAPACITY_TOLD_AFTER_MS = 3 * 60_000;

/** What the person reads: no numbers of ours, only what it means for them. */
const TEXTS: Record<Cause, string> = {
  spend: "Your message has been received. Today's capacity is used up, so the answer will come later.",
  capacity:
    "Your message has been received. All capacity is in use at the moment; the answer will come as soon as possible.",
};

/**
 * Call once per plan: starts or ends the telling.
 *
 * @param facts short: workers are wanted that cannot be had now.
 * @returns when somebody's wait will have become long enough to be told of, ms; null: nobody's.
 */
export async function noteWaiting(
  ctx: MutationCtx,
  facts: { spend: SpendView; due: number; short: boolean },
): Promise<number | null> {
  const now = Date.now();
  const { spend, due, short } = facts;
  if (spend.reached) {
    await raiseAlert(
      ctx,
      "spend",
      `Spend ceiling: ${spend.text}. Raise spend.machineHoursPerDayMax and run \`pulumi up\` to go on at once.`,
    );
    if (due > 0) await startTelling(ctx, "spend", now);
    return null;
  }
  await clearAlerts(ctx, ["spend"]);
  await startForgetting(ctx, "spend");
  // Not as soon as one worker was had: who has been told would be told again at the next refusal.
  if (due === 0) await startForgetting(ctx, "capacity");
  if (due === 0 || !short) return null;
  await startTelling(ctx, "capacity", now - CAPACITY_TOLD_AFTER_MS);
  return now + CAPACITY_TOLD_AFTER_MS;
}

async function startTelling(ctx: MutationCtx, cause: Cause, dueBy: number): Promise<void> {
  const oldest = await ctx.db
    .query("conversationHeads")
    .withIndex("by_due", (q) => q.eq("state", "ready").lte("dueAt", dueBy))
    .first();
  if (oldest === null) return;
  await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.tell, { cause, after: null, dueBy });
}

async function startForgetting(ctx: MutationCtx, cause: Cause): Promise<void> {
  const told = await ctx.db
    .query("waitNotices")
    .withIndex("by_cause_conversation", (q) => q.eq("cause", cause))
    .first();
  if (told !== null) await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.forget, { cause });
}

/** Tells those whose message has been due since `dueBy` and who have not been told; goes on page by page. */
export const tell = internalMutation({
  args: { cause: vCause, after: v.union(v.null(), vPlace), dueBy: v.number() },
  returns: v.null(),
  handler: async (ctx, { cause, after, dueBy }) => {
    let looked = 0;
    let told = 0;
    for await (const head of waitingHeads(ctx, after, dueBy)) {
      looked += 1;
      if (await tellOnce(ctx, head, cause)) told += 1;
      if (looked < LOOKED_AT_PER_RUN && told < TOLD_PER_RUN) continue;
      const next = { cause, after: { dueAt: head.dueAt, createdAt: head._creationTime }, dueBy };
      await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.tell, next);
      break;
    }
    return null;
  },
});

/** Heads that wait, after a place: first those that are due in its very millisecond. */
async function* waitingHeads(
  ctx: MutationCtx,
  after: Place | null,
  dueBy: number,
): AsyncGenerator<Doc<"conversationHeads">> {
  if (after !== null) {
    yield* ctx.db
      .query("conversationHeads")
      .withIndex("by_due", (q) =>
        q.eq("state", "ready").eq("dueAt", after.dueAt).gt("_creationTime", after.createdAt),
      );
  }
  yield* ctx.db.query("conversationHeads").withIndex("by_due", (q) =>
    q
      .eq("state", "ready")
      .gt("dueAt", after?.dueAt ?? 0)
      .lte("dueAt", dueBy),
  );
}

async function tellOnce(ctx: MutationCtx, head: Doc<"conversationHeads">, cause: Cause): Promise<boolean> {
  const told = await ctx.db
    .query("waitNotices")
    .withIndex("by_cause_conversation", (q) => q.eq("cause", cause).eq("conversation", head.conversation))
    .first();
  if (told !== null) return false;
  await ctx.db.insert("waitNotices", { conversation: head.conversation, cause, at: Date.now() });
  const message = await ctx.db.get("messageQueue", head.message);
  if (message === null || message.destination === null) return true;
  await storeNotice(ctx, {
    conversation: { conversationId: message.conversationId },
    destination: message.destination,
    text: TEXTS[cause],
    reason: cause,
  });
  return true;
}

/** The cause is over: whoever waits at the next one is told again. */
export const forget = internalMutation({
  args: { cause: vCause },
  returns: v.null(),
  handler: async (ctx, { cause }) => {
    const rows = await ctx.db
      .query("waitNotices")
      .withIndex("by_cause_conversation", (q) => q.eq("cause", cause))
      .take(PAGE);
    for (const row of rows) await ctx.db.delete("waitNotices", row._id);
    if (rows.length === PAGE) await ctx.scheduler.runAfter(0, internal.scaler.waitNotices.forget, { cause });
    return null;
  },
});
