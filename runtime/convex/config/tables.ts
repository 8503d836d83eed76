import { defineTable } from "convex/server";
import { v } from "convex/values";

/** Tables of the runtime config. `config` is validated by policy/runtimeConfig.ts at its only writer. */
export const configTables = {
  /** At most one row: the config in force. Written by the stack through `factory:applyRuntimeConfig`. */
  runtimeConfig: defineTable({
    revision: v.number(),
    // The zod schema in policy/runtimeConfig.ts is the one description of this value.
    config: v.any(),
    appliedBy: v.string(),
    appliedAt: v.number(),
    /** Identity of the stack that owns this deployment: another stack's writes are refused. */
    owner: v.string(),
    /** The stack is being destroyed: workers wind down, and the next stack may take the deployment over. */
    retiredAt: v.optional(v.number()),
  }),
  /** Every revision, with who and when. Written with each apply and rollback; never deleted. */
  runtimeConfigHistory: defineTable({
    revision: v.number(),
    config: v.any(),
    appliedBy: v.string(),
    appliedAt: v.number(),
    /** Top-level fields that differ from the revision before. */
    changed: v.array(v.string()),
  }).index("by_revision", ["revision"]),
};
