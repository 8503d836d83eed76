import { defineTable } from "convex/server";
import { v } from "convex/values";

/**
 * When a push job fires, in the job's own zone. Only fixed wall-clock slots: there is no minute recurrence.
 * `time` is HH:mm; weekday 1..7 is Monday..Sunday; dayOfMonth 29..31 skips months that lack it, "last" never does.
 */
export const vPushSchedule = v.union(
  v.object({ kind: v.literal("manual") }),
  v.object({ kind: v.literal("daily"), time: v.string() }),
  v.object({ kind: v.literal("weekly"), weekday: v.number(), time: v.string() }),
  v.object({
    kind: v.literal("monthly"),
    dayOfMonth: v.union(v.number(), v.literal("last")),
    time: v.string(),
  }),
);

export const vDispatchOutcome = v.union(v.literal("enqueued"), v.literal("skipped"), v.literal("failed"));

/** Tables of push and broadcast. The rules of slots live in policy/schedule.ts. */
export const scheduleTables = {
  /** Texts that a company reuses. Written and deleted by schedules/templates.ts. */
  pushTemplates: defineTable({
    companyId: v.string(),
    templateKey: v.string(),
    title: v.string(),
    text: v.string(),
    schedule: vPushSchedule,
    enabled: v.boolean(),
    /** Of the request that made it, when it bore an Idempotency-Key (schedules/checks.ts). */
    requestDigest: v.optional(v.string()),
    createdBy: v.string(),
    createdAt: v.number(),
    updatedAt: v.number(),
  }).index("by_company_key", ["companyId", "templateKey"]),

  /** One person's scheduled message. Written and deleted by schedules/jobs.ts; nextRunAt also by dispatch. */
  pushJobs: defineTable({
    companyId: v.string(),
    consumerUserId: v.string(),
    templateId: v.optional(v.id("pushTemplates")),
    title: v.string(),
    text: v.string(),
    schedule: vPushSchedule,
    timeZone: v.string(),
    enabled: v.boolean(),
    idempotencyKey: v.optional(v.string()),
    /** Of the request that made it, when it bore an Idempotency-Key (schedules/checks.ts). */
    requestDigest: v.optional(v.string()),
    /** Absent for manual and disabled jobs. */
    nextRunAt: v.optional(v.number()),
    lastRunAt: v.optional(v.number()),
    createdAt: v.number(),
    updatedAt: v.number(),
  })
    .index("by_person", ["companyId", "consumerUserId"])
    .index("by_template", ["templateId"])
    .index("by_company_key", ["companyId", "idempotencyKey"])
    .index("by_next_run", ["enabled", "nextRunAt"]),

  /**
   * One row per (job, slot): what makes dispatch idempotent, and the audit of who was sent what.
   * Written by schedules/dispatch.ts and broadcast; deleted by retention.
   */
  pushDispatches: defineTable({
    jobId: v.id("pushJobs"),
    /** `2026-03-29T02:30[Europe/Rome]` for a slot, `manual:<n>` for a trigger by hand. */
    slotKey: v.string(),
    /** The instant the slot stands for. */
    slotAt: v.number(),
    dispatchedAt: v.number(),
    outcome: vDispatchOutcome,
    reason: v.optional(v.string()),
    messageId: v.optional(v.id("messageQueue")),
  })
    .index("by_job_slot", ["jobId", "slotKey"])
    .index("by_job_time", ["jobId", "dispatchedAt"])
    .index("by_dispatched_at", ["dispatchedAt"]),

  /** The one pending self-scheduled dispatch; absent row or past time: none. Written by schedules/dispatch.ts. */
  pushTimer: defineTable({
    fireAt: v.number(),
    scheduledId: v.id("_scheduled_functions"),
  }),

  /** One message to everybody of a company. Written by schedules/broadcast.ts; never deleted. */
  broadcasts: defineTable({
    companyId: v.string(),
    title: v.string(),
    text: v.string(),
    requestedBy: v.string(),
    idempotencyKey: v.optional(v.string()),
    state: v.union(v.literal("running"), v.literal("done")),
    /** Continues after this binding when a step was interrupted. */
    cursor: v.union(v.string(), v.null()),
    totalTargets: v.number(),
    enqueued: v.number(),
    failed: v.number(),
    createdAt: v.number(),
    /** When the last page was finished: an old time of a running broadcast means that it was interrupted. */
    steppedAt: v.number(),
    finishedAt: v.optional(v.number()),
  })
    .index("by_company_key", ["companyId", "idempotencyKey"])
    .index("by_state", ["state", "steppedAt"]),

  /** One row at most: when the next message of any broadcast may be due. Written by schedules/broadcastTargets.ts. */
  broadcastPace: defineTable({ nextDueAt: v.number() }),

  /** Who a broadcast addressed and with what outcome. Written by schedules/broadcastTargets.ts; never deleted. */
  broadcastTargets: defineTable({
    broadcastId: v.id("broadcasts"),
    bindingId: v.id("identityBindings"),
    consumerUserId: v.string(),
    outcome: vDispatchOutcome,
    reason: v.optional(v.string()),
    messageId: v.optional(v.id("messageQueue")),
  })
    .index("by_broadcast_binding", ["broadcastId", "bindingId"])
    .index("by_broadcast_person", ["broadcastId", "consumerUserId"]),
};
