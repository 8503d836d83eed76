import { defineTable } from "convex/server";
import { v } from "convex/values";

/** Append-only. Written by audit/record.ts for each privileged act; deleted by retention alone. */
export const auditTables = {
  auditLog: defineTable({
    at: v.number(),
    actor: v.string(),
    action: v.string(),
    target: v.string(),
    outcome: v.union(v.literal("ok"), v.literal("refused"), v.literal("failed")),
    /** Facts beside the values: counts, versions, reasons. Never a secret, never message text. */
    detail: v.optional(v.string()),
  })
    .index("by_at", ["at"])
    .index("by_action", ["action", "at"]),
};
