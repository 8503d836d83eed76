/** Numbers and lists for people and for the scaler: exact, and cheap at any backlog. */
import { type PaginationOptions, paginationOptsValidator } from "convex/server";
import { type Infer, v } from "convex/values";
import { internalQuery, type QueryCtx } from "../_generated/server.js";
import { BATCH_BYTES } from "../policy/takeWithin.ts";
import { type MessageStatus, vMessageStatus } from "../validators.ts";
import { readCounts } from "./counters.ts";
import { findConversation } from "./openConversation.ts";

/** `factory:queueStats` (spec E9). queuedReady counts messages that are due, wherever they stand in line. */
export const queueStats = internalQuery({
  args: {},
  returns: v.object({
    queuedReady: v.number(),
    processing: v.number(),
    deadLetter: v.number(),
    /** Waiting for a later time: retries and scheduled messages. */
    queuedDelayed: v.number(),
    /** Conversations that a worker could serve now, and that are being served. */
    conversationsReady: v.number(),
    conversationsLeased: v.number(),
  }),
  handler: async (ctx) => {
    const counts = await readCounts(ctx);
    return {
      queuedReady: counts.queued - counts.delayed,
      processing: counts.processing,
      deadLetter: counts.deadLetter,
      queuedDelayed: counts.delayed,
      conversationsReady: counts.headsReady,
      conversationsLeased: counts.headsLeased,
    };
  },
});

const PAGE_MAX = 100;

/** What a list shows of a message: never what was said. */
export const vMessageSummary = v.object({
  messageId: v.id("messageQueue"),
  conversationId: v.string(),
  agentKey: v.string(),
  status: vMessageStatus,
  priority: v.number(),
  createdAt: v.number(),
  dueAt: v.number(),
  attempts: v.number(),
  maxAttempts: v.number(),
  finishedAt: v.union(v.number(), v.null()),
  workerId: v.union(v.string(), v.null()),
  lastError: v.union(v.string(), v.null()),
});

export const vMessagePage = v.object({
  messages: v.array(vMessageSummary),
  cursor: v.union(v.string(), v.null()),
});

/** Latest end first; those that have not ended: newest first. */
export async function listByStatus(
  ctx: QueryCtx,
  status: MessageStatus,
  asked: PaginationOptions | undefined,
): Promise<Infer<typeof vMessagePage>> {
  const opts = asked ?? { numItems: PAGE_MAX, cursor: null };
  const page = await ctx.db
    .query("messageQueue")
    .withIndex("by_status_finished", (q) => q.eq("status", status))
    .order("desc")
    .paginate({ ...opts, numItems: Math.min(PAGE_MAX, opts.numItems), maximumBytesRead: BATCH_BYTES });
  return {
    messages: page.page.map((message) => ({
      messageId: message._id,
      conversationId: message.conversationId,
      agentKey: message.agentKey,
      status: message.status,
      priority: message.priority,
      createdAt: message._creationTime,
      dueAt: message.dueAt,
      attempts: message.attempts,
      maxAttempts: message.maxAttempts,
      finishedAt: message.finishedAt ?? null,
      workerId: message.workerId ?? null,
      lastError: message.lastError ?? null,
    })),
    cursor: page.isDone ? null : page.continueCursor,
  };
}

/** `factory:listJobsByStatus`. */
export const listJobsByStatus = internalQuery({
  args: { status: vMessageStatus, paginationOpts: v.optional(paginationOptsValidator) },
  returns: vMessagePage,
  handler: async (ctx, { status, paginationOpts }) => await listByStatus(ctx, status, paginationOpts),
});

/** `factory:hasQueuedJobsForConversation`. Waiting only: a turn that runs is not counted. */
export const hasQueuedJobsForConversation = internalQuery({
  args: { conversationId: v.string() },
  returns: v.boolean(),
  handler: async (ctx, { conversationId }): Promise<boolean> =>
    ((await findConversation(ctx, conversationId))?.queuedCount ?? 0) > 0,
});
