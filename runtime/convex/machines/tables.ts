import { defineTable } from "convex/server";
import { v } from "convex/values";

/**
 * creating: row written; its machine is asked for, booting or resuming, and has not said that it is ready.
 * active: may claim. draining: finishes or releases, claims nothing; one that was to rest becomes active again when it is
 * wanted before anybody was told. stopping: told to end. warm: suspended or stopped, startable. stopped: over, never
 * revives.
 */
export const vWorkerState = v.union(
  v.literal("creating"),
  v.literal("active"),
  v.literal("draining"),
  v.literal("stopping"),
  v.literal("warm"),
  v.literal("stopped"),
);

/** A call to the provider that has begun and whose outcome is not recorded yet: it may have acted. */
export const vMachineOp = v.object({
  kind: v.union(
    v.literal("create"),
    v.literal("start"),
    v.literal("suspend"),
    v.literal("stop"),
    v.literal("destroy"),
    v.literal("verify"),
  ),
  begunAt: v.number(),
  /** Pass that began it; a later pass may take it over, an earlier one may not. */
  generation: v.number(),
});

/** Tables of the workers and their machines. */
export const machineTables = {
  /**
   * One row per worker. Created by the scaler before the machine exists; load fields by the queue's claim and
   * its counterparts; liveness by heartbeat; state by machines/ and scaler/. Deleted by retention once stopped.
   */
  workers: defineTable({
    /** Also the machine's name on Fly, so that a lost reply is found again. */
    workerId: v.string(),
    state: vWorkerState,
    /** SHA-256 (hex) of the worker's token; absent once the worker stopped. */
    tokenHash: v.optional(v.string()),
    machineId: v.optional(v.string()),
    /** App that the machine is made in; absent on rows of earlier releases: the app in force (machines/apps.ts). */
    appName: v.optional(v.string()),
    region: v.optional(v.string()),
    /** Set before the machine is created, when the config asks for volumes; deleted with the worker. */
    volumeId: v.optional(v.string()),
    /** Image by digest and revision of the runtime config that the machine was made with. */
    image: v.string(),
    configRevision: v.number(),
    /** Hash of everything in the config that needs a new machine to change (policy/machineSpec.ts). */
    specHash: v.optional(v.string()),
    /** Leases held. */
    load: v.number(),
    slots: v.number(),
    /** state active, ready, load < slots: what enqueue looks for. */
    hasFreeSlot: v.boolean(),
    /** Canary workers serve only these agents when the rollout names some. */
    canary: v.boolean(),
    /** Owner when dedicated (agentKey or conversationId). */
    dedicatedTo: v.optional(v.string()),
    createdAt: v.number(),
    /** When the provider took the latest order to boot or resume; absent while that is not known. */
    bootStartedAt: v.optional(v.number()),
    readyAt: v.optional(v.number()),
    lastHeartbeatAt: v.optional(v.number()),
    lastClaimAt: v.optional(v.number()),
    scheduledShutdownAt: v.optional(v.number()),
    drainDeadlineAt: v.optional(v.number()),
    /** What a drain leads to: a startable machine or none. Set while draining or stopping. */
    retireTo: v.optional(v.union(v.literal("warm"), v.literal("end"))),
    /** Its process ends by itself: it was told to drain, or has said goodbye. */
    leaving: v.optional(v.boolean()),
    /** On its way to rest and wanted again: nothing is made in its place before this time. */
    awaitedUntil: v.optional(v.number()),
    /** Made for the warm pool's schedule: rests as soon as it has booted. */
    prewarm: v.optional(v.boolean()),
    /** The provider call in flight, if any. */
    op: v.optional(vMachineOp),
    /** Calls of the present step that did not succeed; the next one waits until notBefore. */
    opAttempts: v.optional(v.number()),
    notBefore: v.optional(v.number()),
    /** First reconcile that missed the machine in Fly's list. */
    missingSince: v.optional(v.number()),
    /** First reconcile that found an idle worker silent; cleared by its next sign of life. */
    suspectSince: v.optional(v.number()),
    /** When the provider took the order to rest or to destroy; the next look tells whether it was obeyed. */
    orderedAt: v.optional(v.number()),
    warmSince: v.optional(v.number()),
    stoppedAt: v.optional(v.number()),
    stopReason: v.optional(v.string()),
    /** Last state reported by Fly, verbatim, and when it was read. */
    machineState: v.optional(v.string()),
    machineStateAt: v.optional(v.number()),
    /** Start of the running time not yet booked in machineUsage. */
    runningSince: v.optional(v.number()),
    bootMs: v.optional(v.number()),
    probeTurnMs: v.optional(v.number()),
    imageDigest: v.optional(v.string()),
    sourceRevision: v.optional(v.string()),
    skills: v.optional(v.array(v.object({ name: v.string(), sha256: v.string() }))),
    removedSkills: v.optional(v.array(v.string())),
    /** Turns finished and failed: the rollout's health gate reads them. */
    turnsDone: v.number(),
    turnsFailed: v.number(),
    /** Wake-ups that its claims have answered (policy/wake.ts, `wokenEnough`). */
    wakesAnswered: v.optional(v.number()),
  })
    .index("by_worker_id", ["workerId"])
    .index("by_free_slot", ["hasFreeSlot", "lastHeartbeatAt"])
    .index("by_canary", ["canary", "hasFreeSlot"])
    .index("by_stopped_at", ["state", "stoppedAt"]),

  /**
   * What one worker subscribes to, apart from `workers` so that heartbeats do not wake it.
   * Written by enqueue (wake), cancel and drain. Deleted with its worker.
   */
  workerSignals: defineTable({
    workerId: v.string(),
    /** Counts wake-ups; the worker claims once for each. */
    wake: v.number(),
    draining: v.boolean(),
    drainDeadlineAt: v.optional(v.number()),
    cancelled: v.array(v.id("messageQueue")),
    /** Copy of the worker's own, so that its subscription reads this row alone and heartbeats never re-run it. */
    tokenHash: v.optional(v.string()),
  }).index("by_worker_id", ["workerId"]),
};
