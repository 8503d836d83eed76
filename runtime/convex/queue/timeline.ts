/** The life of messages as a person reads it: when each phase ended. */
import { type Infer, v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalQuery, type QueryCtx } from "../_generated/server.js";
import { takeWithin } from "../policy/takeWithin.ts";
import { isOfAnswer } from "../replies/deliveries.ts";
import { vMessageStatus } from "../validators.ts";
import { findConversation } from "./openConversation.ts";

const nullableTime = v.union(v.number(), v.null());

/** Times are backend time, ms since the epoch; null: not reached, or not known. */
const vMessageTimes = v.object({
  messageId: v.id("messageQueue"),
  conversationId: v.string(),
  seq: v.number(),
  status: vMessageStatus,
  attempts: v.number(),
  enqueuedAt: v.number(),
  /** Not before this time; for a message that waits for a retry or a slot it lies ahead. */
  dueAt: v.number(),
  claimedAt: nullableTime,
  hydratedAt: nullableTime,
  modelDoneAt: nullableTime,
  answeredAt: nullableTime,
  /** When it was given up or cancelled. */
  endedUnansweredAt: nullableTime,
  deliveredAt: nullableTime,
  workerId: v.union(v.string(), v.null()),
  machineCreatedAt: nullableTime,
  workerReadyAt: nullableTime,
  image: v.union(v.string(), v.null()),
  /** Why the last attempt failed. */
  lastError: v.union(v.string(), v.null()),
});
type MessageTimes = Infer<typeof vMessageTimes>;

const LIMIT_MAX = 50;
const PARTS_MAX = 50;

/**
 * `factory:messageTimeline`: the latest messages of one conversation, oldest first, whatever became of them: those that
 * wait or run, too, and those that were given up or cancelled. Fewer than `limit` where they are very large.
 */
export const messageTimeline = internalQuery({
  args: { conversationId: v.string(), limit: v.optional(v.number()) },
  returns: v.array(vMessageTimes),
  handler: async (ctx, { conversationId, limit }): Promise<MessageTimes[]> => {
    const conversation = await findConversation(ctx, conversationId);
    if (conversation === null) return [];
    const latest = ctx.db
      .query("messageQueue")
      .withIndex("by_conversation", (q) => q.eq("conversation", conversation._id))
      .order("desc");
    const { rows } = await takeWithin(latest, Math.min(LIMIT_MAX, Math.max(1, limit ?? 10)));
    return await Promise.all(rows.reverse().map((message) => timesOf(ctx, message)));
  },
});

async function timesOf(ctx: QueryCtx, message: Doc<"messageQueue">): Promise<MessageTimes> {
  const { workerId } = message;
  const worker =
    workerId === undefined
      ? null
      : await ctx.db
          .query("workers")
          .withIndex("by_worker_id", (q) => q.eq("workerId", workerId))
          .unique();
  const rows = await ctx.db
    .query("outbox")
    .withIndex("by_message_seq", (q) => q.eq("messageId", message._id))
    .take(PARTS_MAX);
  const parts = rows.filter(isOfAnswer);
  const sent = parts.filter((part) => part.state === "sent");
  const claimedAt = message.claimedAt ?? null;
  // Phases follow each other: each is told as how long it took.
  const after = (start: number | null, ms: number | undefined): number | null =>
    start === null || ms === undefined ? null : start + ms;
  const hydratedAt = after(claimedAt, message.timings?.hydrateMs);
  return {
    messageId: message._id,
    conversationId: message.conversationId,
    seq: message.seq,
    status: message.status,
    attempts: message.attempts,
    enqueuedAt: message._creationTime,
    dueAt: message.dueAt,
    claimedAt,
    hydratedAt,
    modelDoneAt: after(hydratedAt, message.timings?.modelMs),
    answeredAt: message.status === "done" ? (message.finishedAt ?? null) : null,
    endedUnansweredAt: message.status === "done" ? null : (message.finishedAt ?? null),
    deliveredAt:
      parts.length > 0 && sent.length === parts.length
        ? Math.max(...sent.map((part) => part.finishedAt ?? part.createdAt))
        : null,
    workerId: workerId ?? null,
    machineCreatedAt: worker?.createdAt ?? null,
    workerReadyAt: worker?.readyAt ?? null,
    image: worker?.image ?? null,
    lastError: message.lastError ?? null,
  };
}
