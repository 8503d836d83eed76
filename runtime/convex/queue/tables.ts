import { defineTable } from "convex/server";
import { v } from "convex/values";
import { vDestination, vHistoryRole, vMessageStatus, vPayload } from "../validators.ts";

/** Tables of the queue. The rules of order and retry live in `policy/`. */
export const queueTables = {
  /**
   * One row per conversation, for ever: the FIFO unit, owned by one agent.
   * Written by enqueue (creation, sequence) and by the operator (pause). Deleted by nobody.
   */
  conversations: defineTable({
    /** Public name, for example `telegram:<botId>:<chatId>`. */
    conversationId: v.string(),
    agentKey: v.string(),
    /** Place in line of the next message; FIFO order inside the conversation. */
    nextSeq: v.number(),
    /** Sequence number of the next history row. */
    nextHistorySeq: v.number(),
    /** Messages waiting (status queued), kept exact by the queue's one writer. */
    queuedCount: v.number(),
    pausedAt: v.optional(v.number()),
    /** Worker that served the last turn and may still hold its files: the first choice for the next. */
    lastWorkerId: v.optional(v.string()),
    /** Tenant of the conversation, when a consumer app or a binding named one. */
    companyId: v.optional(v.string()),
    consumerUserId: v.optional(v.string()),
  })
    .index("by_conversation_id", ["conversationId"])
    .index("by_agent", ["agentKey"])
    .index("by_consumer_user", ["consumerUserId"]),

  /**
   * One row per conversation that has something to do: the index that claim reads.
   * A head is `ready` (due now), `delayed` (due later), `leased` (a turn runs) or `paused`; only ready heads
   * are ever scanned, so a million blocked conversations cost nothing.
   * Written by the queue alone (`queue/heads.ts`); deleted when nothing waits.
   */
  conversationHeads: defineTable({
    conversation: v.id("conversations"),
    state: v.union(v.literal("ready"), v.literal("delayed"), v.literal("leased"), v.literal("paused")),
    agentKey: v.string(),
    /** The message at the head (queued), or the one that is leased. */
    message: v.id("messageQueue"),
    /** 100 - priority, so that an ascending index serves the highest priority first. */
    rank: v.number(),
    dueAt: v.number(),
    /** Creation time of the head message: the last tie-breaker. */
    createdAt: v.number(),
    /** Worker that served the conversation last: within a short grace it is asked first (policy/wake.ts). */
    preferredWorkerId: v.optional(v.string()),
    /** Lease fields, set while leased. */
    leaseExpiresAt: v.optional(v.number()),
    workerId: v.optional(v.string()),
  })
    .index("by_conversation", ["conversation"])
    .index("by_order", ["state", "rank", "dueAt", "createdAt"])
    .index("by_agent_order", ["state", "agentKey", "rank", "dueAt", "createdAt"])
    .index("by_preference", ["state", "preferredWorkerId", "rank", "dueAt", "createdAt"])
    .index("by_due", ["state", "dueAt"])
    .index("by_lease_expiry", ["state", "leaseExpiresAt"])
    .index("by_worker", ["workerId"]),

  /**
   * One row per message. Written by enqueue, then by the holder of its lease; deleted by retention.
   */
  messageQueue: defineTable({
    conversation: v.id("conversations"),
    conversationId: v.string(),
    agentKey: v.string(),
    /** Place in line. A message scheduled for later gets its real place when it is due (policy/order.ts). */
    seq: v.number(),
    status: vMessageStatus,
    payload: vPayload,
    destination: v.union(vDestination, v.null()),
    priority: v.number(),
    /** Not before this time, ms. Moves forward with each retry. */
    dueAt: v.number(),
    /** True until the promotion at dueAt has run. Keeps `queuedReady` exact. */
    delayed: v.boolean(),
    /** Attempts begun that count (a release gives one back). */
    attempts: v.number(),
    maxAttempts: v.number(),
    leaseId: v.optional(v.string()),
    leaseExpiresAt: v.optional(v.number()),
    /** Holder of the lease, or the last one. */
    workerId: v.optional(v.string()),
    /** Key of the claim call that took the latest lease: a repeated call gets the same lease back, or nothing. */
    claimKey: v.optional(v.string()),
    claimedAt: v.optional(v.number()),
    cancelRequestedAt: v.optional(v.number()),
    lastError: v.optional(v.string()),
    finishedAt: v.optional(v.number()),
    answerText: v.optional(v.string()),
    /** Snapshot that was taken before this turn completed. */
    snapshotId: v.optional(v.string()),
    usage: v.optional(
      v.object({ inputTokens: v.optional(v.number()), outputTokens: v.optional(v.number()) }),
    ),
    /** Durations that the worker measured, ms, for timelines. */
    timings: v.optional(v.object({ hydrateMs: v.optional(v.number()), modelMs: v.optional(v.number()) })),
    /** The person's id in the company's own application, when one is known. In a group: of whom it is bound to. */
    consumerUserId: v.optional(v.string()),
    /** Set when enqueue came from a consumer app or schedule: who asked. */
    source: v.optional(v.string()),
    /** True while files of the deployment's storage belong to it (`attachmentFiles`). */
    holdsFiles: v.optional(v.boolean()),
  })
    // For the timeline alone: its order is that of creation, whatever became of the messages.
    // eslint-disable-next-line @convex-dev/no-duplicate-indexes
    .index("by_conversation", ["conversation"])
    .index("by_conversation_status_seq", ["conversation", "status", "seq"])
    .index("by_conversation_external", ["conversation", "payload.externalMessageId"])
    .index("by_status_finished", ["status", "finishedAt"])
    .index("by_files_finished", ["holdsFiles", "status", "finishedAt"])
    .index("by_worker_claim", ["workerId", "claimKey"]),

  /**
   * Exact counts, sharded by conversation so that enqueues do not contend on one row.
   * Written with every change of a message's status, in the same transaction. Never deleted.
   */
  queueCounters: defineTable({
    shard: v.number(),
    queued: v.number(),
    delayed: v.number(),
    processing: v.number(),
    deadLetter: v.number(),
    /** Conversations whose head is due, running. */
    headsReady: v.number(),
    headsLeased: v.number(),
  }).index("by_shard", ["shard"]),

  /** History of a conversation, one row per message of it. Written by complete/append; pruned by retention. */
  conversationMessages: defineTable({
    conversation: v.id("conversations"),
    seq: v.number(),
    role: vHistoryRole,
    content: v.string(),
    at: v.number(),
  })
    .index("by_conversation_seq", ["conversation", "seq"])
    .index("by_at", ["at"]),
};
