/** Taking messages out of the queue on purpose. */
import { v } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { isScheduledPlace } from "../policy/order.ts";
import { storeNotice } from "../replies/outbox.ts";
import { findHead, refreshHead } from "./heads.ts";
import { findConversation, openConversation, saveConversation } from "./openConversation.ts";
import { wakeForHead } from "./wake.ts";

/**
 * cancelled: it was waiting and is now cancelled. requested: a turn runs; its worker is told to abort, and the
 * message ends as cancelled however that turn ends. none: it had ended already.
 */
export type CancelOutcome = "cancelled" | "requested" | "none";

async function cancelWaiting(ctx: MutationCtx, message: Doc<"messageQueue">): Promise<void> {
  const conversation = await ctx.db.get("conversations", message.conversation);
  if (conversation === null) throw new Error(`message ${message._id} has no conversation`);
  const { config } = await readRuntimeConfig(ctx);
  const open = openConversation(conversation, Date.now());
  open.row.queuedCount = Math.max(0, open.row.queuedCount - 1);
  open.tally.queued -= 1;
  if (message.delayed) open.tally.delayed -= 1;
  await ctx.db.patch("messageQueue", message._id, {
    status: "cancelled",
    delayed: false,
    finishedAt: open.now,
  });
  const head = await refreshHead(ctx, open);
  await saveConversation(ctx, open);
  if (head.becameReady) await wakeForHead(ctx, open, head.message, config);
}

/**
 * The lease stays with the worker until it confirms (or until it expires): releasing it here would let the
 * conversation's next turn begin while this one still runs.
 */
export async function requestAbort(ctx: MutationCtx, message: Doc<"messageQueue">): Promise<void> {
  if (message.cancelRequestedAt !== undefined) return;
  await ctx.db.patch("messageQueue", message._id, { cancelRequestedAt: Date.now() });
  const signals = await ctx.db
    .query("workerSignals")
    .withIndex("by_worker_id", (q) => q.eq("workerId", message.workerId ?? ""))
    .first();
  if (signals === null || signals.cancelled.includes(message._id)) return;
  await ctx.db.patch("workerSignals", signals._id, { cancelled: [...signals.cancelled, message._id] });
}

async function cancelOne(ctx: MutationCtx, message: Doc<"messageQueue">): Promise<CancelOutcome> {
  switch (message.status) {
    case "queued":
      await cancelWaiting(ctx, message);
      return "cancelled";
    case "processing":
      await requestAbort(ctx, message);
      return "requested";
    case "done":
    case "dead_letter":
    case "cancelled":
      return "none";
  }
}

/** For `/stop`: the turn that runs, else the message at the head. What is scheduled for later is not meant. */
export async function cancelConversationTurn(
  ctx: MutationCtx,
  conversationId: string,
): Promise<{ outcome: CancelOutcome; messageId: Id<"messageQueue"> | null }> {
  const conversation = await findConversation(ctx, conversationId);
  const head = conversation === null ? null : await findHead(ctx, conversation._id);
  const message = head === null ? null : await ctx.db.get("messageQueue", head.message);
  if (message === null || isForLater(message)) return { outcome: "none", messageId: null };
  return { outcome: await cancelOne(ctx, message), messageId: message._id };
}

const isForLater = (message: Doc<"messageQueue">): boolean =>
  message.status === "queued" && message.delayed && isScheduledPlace(message.seq);

/** `factory:cancelMessage`: an operator's or consumer app's cancel. The person is told. */
export const cancelMessage = internalMutation({
  args: { messageId: v.id("messageQueue"), actor: v.optional(v.string()) },
  returns: v.union(v.literal("cancelled"), v.literal("requested"), v.literal("none")),
  handler: async (ctx, { messageId, actor }): Promise<CancelOutcome> => {
    const message = await ctx.db.get("messageQueue", messageId);
    if (message === null) throw new FactoryError("not_found", `Message '${messageId}' not found`);
    const outcome = await cancelOne(ctx, message);
    // Asked twice, told once.
    if (outcome !== "none" && message.cancelRequestedAt === undefined) {
      await storeNotice(ctx, {
        conversation: message,
        destination: message.destination,
        text: "This message was cancelled and will not be answered.",
        reason: "cancelled",
        messageId,
      });
    }
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "message.cancel",
      target: messageId,
      outcome: "ok",
      detail: outcome,
    });
    return outcome;
  },
});
