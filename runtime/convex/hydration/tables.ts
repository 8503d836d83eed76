import { defineTable } from "convex/server";
import { v } from "convex/values";
import { vBridgeConfig, vBridgeFunction, vPendingToolCall, vToolPolicy } from "../validators.ts";

/** Tables of what a turn is made from, beside the messages themselves. */
export const hydrationTables = {
  /** One row per agent. Written by configureAgent; deleted by nobody (disabled instead). */
  agentProfiles: defineTable({
    agentKey: v.string(),
    /** The operator's own label. */
    version: v.string(),
    /** Grows with every edit; what a warm worker compares. */
    revision: v.number(),
    soulMd: v.string(),
    clientMd: v.optional(v.string()),
    skills: v.array(v.string()),
    secretsRef: v.array(v.string()),
    bridgeConfig: v.optional(vBridgeConfig),
    bridgeFunctions: v.array(vBridgeFunction),
    toolPolicy: vToolPolicy,
    enabled: v.boolean(),
    providerUserId: v.optional(v.string()),
    updatedAt: v.number(),
  }).index("by_agent_key", ["agentKey"]),

  /**
   * Tool calls that a conversation still waits for, at most one row per conversation.
   * Written with history by the holder of a lease; replaced as a whole.
   */
  pendingToolCalls: defineTable({
    conversation: v.id("conversations"),
    calls: v.array(vPendingToolCall),
  }).index("by_conversation", ["conversation"]),
};
