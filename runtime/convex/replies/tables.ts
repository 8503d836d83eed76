import { defineTable } from "convex/server";
import { v } from "convex/values";
import { vDestination } from "../validators.ts";

/** Only chats need an outbox; the API's consumers read answers or get them by webhook (api/). */
export const vTelegramDestination = vDestination.members[0];

/** What one part says. Text keeps its Markdown source beside the HTML, so that a refusal of the HTML costs nothing. */
export const vPartContent = v.union(
  v.object({
    kind: v.literal("text"),
    /** Telegram HTML, at most 4096 UTF-16 units. */
    html: v.string(),
    /** The same words without markup: what is sent when Telegram refuses the HTML. */
    plain: v.string(),
  }),
  v.object({
    kind: v.literal("file"),
    storageId: v.id("_storage"),
    fileName: v.string(),
    mimeType: v.optional(v.string()),
  }),
  /** Takes back the preview that `edits` names: its message ended without an answer. */
  v.object({ kind: v.literal("withdrawal") }),
);

/**
 * pending: to be sent. sending: intent recorded, outcome not known yet. sent: Telegram confirmed it.
 * failed: Telegram refused it for good, or the bounded retries ran out. unknown: it may have arrived, so it is
 * never sent again. cancelled: withdrawn before it was sent.
 */
export const vPartState = v.union(
  v.literal("pending"),
  v.literal("sending"),
  v.literal("sent"),
  v.literal("failed"),
  v.literal("unknown"),
  v.literal("cancelled"),
);

/** Adjustments made after a definite refusal; each is tried once. */
export const vPartFallbacks = v.object({
  plainText: v.boolean(),
  withoutThread: v.boolean(),
  asDocument: v.boolean(),
  /** The message to edit is gone: what it should have said goes as a message of its own. */
  asNewMessage: v.optional(v.boolean()),
});

/** Tables of the way out. The rules of what to do after each outcome live in policy/delivery.ts. */
export const replyTables = {
  /**
   * One row per part of an answer or notice: the outbox.
   * Written by replies/outbox.ts and replies/preview.ts (insert), replies/delivery.ts (state); deleted by retention.
   */
  outbox: defineTable({
    lane: v.string(),
    /** Order inside the lane. */
    seq: v.number(),
    /** Also set for notices, so that an operator finds everything a conversation was told. */
    conversationId: v.string(),
    /** Absent for notices that belong to no message, and for pairing replies. */
    messageId: v.optional(v.id("messageQueue")),
    reason: v.string(),
    destination: vTelegramDestination,
    content: vPartContent,
    state: vPartState,
    fallbacks: vPartFallbacks,
    attempts: v.number(),
    createdAt: v.number(),
    nextAttemptAt: v.number(),
    /** When the last attempt was announced; an intent without outcome becomes unknown. */
    intentAt: v.optional(v.number()),
    finishedAt: v.optional(v.number()),
    telegramMessageId: v.optional(v.number()),
    /** The preview whose message this part takes over by editing it (replies/preview.ts). */
    edits: v.optional(v.id("outbox")),
    /** Attempts of a preview's earlier texts: each text has its own bounded attempts. */
    attemptsBefore: v.optional(v.number()),
    /** Telegram's own words for the last refusal, never the request. */
    lastError: v.optional(v.string()),
    /** The person blocked the bot or left: no further part will reach this chat. */
    unreachable: v.optional(v.boolean()),
  })
    .index("by_lane_state_seq", ["lane", "state", "seq"])
    .index("by_message_seq", ["messageId", "seq"])
    .index("by_state_finished", ["state", "finishedAt"])
    .index("by_file", ["content.storageId"])
    .index("by_conversation", ["conversationId", "createdAt"]),

  /**
   * One row per lane (a conversation, or its control lane): the single-flight guard of its deliveries.
   * `run` grows with each delivery that starts; a call that names an older run changes no lane.
   * Written by replies/lanes.ts alone; deleted by retention when empty.
   */
  outboxLanes: defineTable({
    lane: v.string(),
    nextSeq: v.number(),
    run: v.number(),
    /** Set while a delivery runs: past this time its watchdog takes the lane back. */
    busyUntil: v.optional(v.number()),
    /** Set while a refusal makes the lane wait (429, backoff). */
    wakeAt: v.optional(v.number()),
  })
    .index("by_lane", ["lane"])
    .index("by_busy_until", ["busyUntil"])
    .index("by_wake_at", ["wakeAt"]),
};
