import { defineTable } from "convex/server";
import { v } from "convex/values";

/**
 * creating: row written, machine not yet known. active: may claim. draining: finishes or releases, claims
 * nothing. stopping: told to end. warm: suspended or stopped, startable. stopped: over, never revives.
 */
export const vWorkerState = v.union(
  v.literal("creating"),
  v.literal("active"),
  v.literal("draining"),
  v.literal("stopping"),
  v.literal("warm"),
  v.literal("stopped"),
);

/** Tables of the workers and their machines. */
export const machineTables = {
  /**
   * One row per worker. Created by the scaler before the machine exists; load fields by the queue's claim and
   * its counterparts; liveness by heartbeat; state by machines/. Deleted by retention once stopped.
   */
  workers: defineTable({
    /** Also the machine's name on Fly, so that a lost reply is found again. */
    workerId: v.string(),
    state: vWorkerState,
    /** SHA-256 (hex) of the worker's token; absent once the worker stopped. */
    tokenHash: v.optional(v.string()),
    machineId: v.optional(v.string()),
    region: v.optional(v.string()),
    /** Image by digest and revision of the runtime config that the machine was made with. */
    image: v.string(),
    configRevision: v.number(),
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
    readyAt: v.optional(v.number()),
    lastHeartbeatAt: v.optional(v.number()),
    lastClaimAt: v.optional(v.number()),
    scheduledShutdownAt: v.optional(v.number()),
    drainDeadlineAt: v.optional(v.number()),
    /** First reconcile that missed the machine in Fly's list. */
    missingSince: v.optional(v.number()),
    warmSince: v.optional(v.number()),
    stoppedAt: v.optional(v.number()),
    stopReason: v.optional(v.string()),
    /** Last state reported by Fly, verbatim. */
    machineState: v.optional(v.string()),
    bootMs: v.optional(v.number()),
    probeTurnMs: v.optional(v.number()),
    skills: v.optional(v.array(v.object({ name: v.string(), sha256: v.string() }))),
    removedSkills: v.optional(v.array(v.string())),
    /** Turns finished and failed: the rollout's health gate reads them. */
    turnsDone: v.number(),
    turnsFailed: v.number(),
  })
    .index("by_worker_id", ["workerId"])
    .index("by_state", ["state"])
    .index("by_free_slot", ["hasFreeSlot", "load"])
    .index("by_stopped_at", ["state", "stoppedAt"]),

  /**
   * What one worker subscribes to, apart from `workers` so that heartbeats do not wake it.
   * Written by enqueue (wake), cancel and drain. Deleted with its worker.
   */
  workerSignals: defineTable({
    workerId: v.string(),
    wake: v.number(),
    draining: v.boolean(),
    drainDeadlineAt: v.optional(v.number()),
    cancelled: v.array(v.id("messageQueue")),
  }).index("by_worker_id", ["workerId"]),
};
