import { defineTable } from "convex/server";
import { v } from "convex/values";

export const vRolloutPhase = v.union(
  /** Workers with the new spec are being made. */
  v.literal("canary"),
  /** They booted; their real turns are watched. */
  v.literal("observing"),
  /** The gate passed; the other workers are replaced. */
  v.literal("replacing"),
  v.literal("done"),
  v.literal("rolled_back"),
  v.literal("superseded"),
);

/** Tables of the scaler. Everything here is small and bounded; nothing here is touched by a heartbeat. */
export const scalerTables = {
  /**
   * One row: when the next tick runs. Apart from scalerState because every enqueue reads it; while a tick is
   * already due soon enough it is only read, so that enqueues do not contend.
   * Written by scaler/timer.ts alone. Never deleted.
   */
  scalerTimer: defineTable({
    nextTickAt: v.union(v.number(), v.null()),
    scheduledId: v.optional(v.id("_scheduled_functions")),
    lastTickAt: v.number(),
    reason: v.string(),
  }),

  /** One row: the loop's memory. Written by scaler/. Never deleted. */
  scalerState: defineTable({
    /** Grows with every pass. A pass that no longer holds it may begin no call. */
    generation: v.number(),
    /** Set while a pass runs: single flight. */
    passStartedAt: v.optional(v.number()),
    /** Last sign of the running pass; it is given up when silent for too long. */
    passSignAt: v.optional(v.number()),
    watchdogId: v.optional(v.id("_scheduled_functions")),
    /** A kick came while a pass was running: run again at once. */
    dirty: v.boolean(),
    /** Names of machines: `w-<owner>-<salt>-<n>`; the salt is new with each database. */
    nameSalt: v.string(),
    nextWorkerNumber: v.number(),
    lastListAt: v.optional(v.number()),
    /** No call that makes or starts a machine before this time. */
    backoffUntil: v.optional(v.number()),
    /** What stands behind that back-off, for people; failures in a row. */
    blockedBy: v.optional(v.string()),
    failures: v.number(),
    /** Boots that failed since one last succeeded; absent when none has. */
    bootHealth: v.optional(v.object({ failures: v.number(), lastFailureAt: v.number(), reason: v.string() })),
    /** Regions without capacity, until when. */
    regionBlocks: v.array(v.object({ region: v.string(), until: v.number(), reason: v.string() })),
    /** App whose owner was checked, and when. */
    ownerCheckedApp: v.optional(v.string()),
    ownerCheckedAt: v.optional(v.number()),
    /** Heartbeats missed before this time say nothing: the backend itself was away. */
    silenceCountsFrom: v.optional(v.number()),
    /** Revision of the config whose machine spec has passed its rollout. */
    stableRevision: v.optional(v.number()),
  }),

  /** What the scaler decided and why, for people. Written with each decision; the oldest go first. */
  scalerDecisions: defineTable({
    at: v.number(),
    generation: v.number(),
    /** Grows by one with each row; bounds the table. */
    seq: v.number(),
    text: v.string(),
    due: v.number(),
    running: v.number(),
    desired: v.number(),
    live: v.number(),
    warm: v.number(),
  }).index("by_seq", ["seq"]),

  /** What needs an operator, one row per kind. Written by scaler/alerts.ts; deleted when it is over. */
  scalerAlerts: defineTable({
    kind: v.string(),
    message: v.string(),
    since: v.number(),
    lastAt: v.number(),
    count: v.number(),
  }).index("by_kind", ["kind"]),

  /** Machines of ours without a live row. Written by each listing; deleted once Fly lists them no more. */
  orphanMachines: defineTable({
    machineId: v.string(),
    /** As in `workers`. */
    appName: v.optional(v.string()),
    name: v.string(),
    state: v.string(),
    region: v.string(),
    firstSeenAt: v.number(),
    destroyAskedAt: v.optional(v.number()),
  }).index("by_machine_id", ["machineId"]),

  /** Running time of machines per UTC day (`YYYY-MM-DD`), ms. Booked when a machine rests or ends. */
  machineUsage: defineTable({ day: v.string(), ms: v.number() }).index("by_day", ["day"]),

  /** Who has been told that their message waits, per cause; deleted when the cause is over. */
  waitNotices: defineTable({
    conversation: v.id("conversations"),
    cause: v.string(),
    at: v.number(),
  }).index("by_cause_conversation", ["cause", "conversation"]),

  /** One row per rollout. Written by onConfigApplied and the scaler's plan; kept as history. */
  rollouts: defineTable({
    /** Revision of the runtime config that is rolled out, and the one to return to. */
    revision: v.number(),
    stableRevision: v.number(),
    phase: vRolloutPhase,
    image: v.string(),
    stableImage: v.string(),
    specHash: v.string(),
    stableSpecHash: v.string(),
    startedAt: v.number(),
    phaseAt: v.number(),
    finishedAt: v.optional(v.number()),
    /** Why it ended as it did; always set for rolled_back and superseded. */
    reason: v.optional(v.string()),
    bootFailures: v.number(),
    lastBootFailure: v.optional(v.string()),
    /** Turns of workers with the new spec that have stopped since; live ones count on their rows. */
    turnsDone: v.number(),
    turnsFailed: v.number(),
    startedBy: v.string(),
  })
    .index("by_revision", ["revision"])
    .index("by_phase", ["phase"]),
};
