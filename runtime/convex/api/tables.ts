import { defineTable } from "convex/server";
import { v } from "convex/values";

/** What a service key may do. */
export const API_SCOPES = [
  "messages:read",
  "messages:write",
  "agents:read",
  "people:read",
  "people:write",
  "push",
  "broadcast",
  "webhooks",
] as const;
export type ApiScope = (typeof API_SCOPES)[number];

export const vApiScope = v.union(
  v.literal("messages:read"),
  v.literal("messages:write"),
  v.literal("agents:read"),
  v.literal("people:read"),
  v.literal("people:write"),
  v.literal("push"),
  v.literal("broadcast"),
  v.literal("webhooks"),
);

/** Tables of the consumer API. */
export const apiTables = {
  /**
   * Keys of consumer apps, each of one company. Only SHA-256 of a key is kept. Written by api/keys.ts; never deleted,
   * a revoked key stays as history.
   */
  serviceKeys: defineTable({
    keyId: v.string(),
    name: v.string(),
    companyId: v.string(),
    scopes: v.array(vApiScope),
    /** Agents that the key may reach; absent: any. */
    agentKeys: v.optional(v.array(v.string())),
    keyHash: v.string(),
    /** The key before the last rotation, valid until `previousUntil`. */
    previousHash: v.optional(v.string()),
    previousUntil: v.optional(v.number()),
    requestsPerMinute: v.number(),
    createdAt: v.number(),
    expiresAt: v.optional(v.number()),
    revokedAt: v.optional(v.number()),
  })
    .index("by_key_id", ["keyId"])
    .index("by_company", ["companyId"]),

  /**
   * The bucket of a key's requests (policy/serviceKey.ts), apart from the key so that counting conflicts with nothing
   * else. Written by api/authorize.ts; one row per key, never deleted.
   */
  serviceKeyBuckets: defineTable({
    keyId: v.string(),
    tokens: v.number(),
    at: v.number(),
  }).index("by_key_id", ["keyId"]),

  /** Where a company wants its events. The signing secret is the secret `webhook.signing.<endpointId>`. */
  webhookEndpoints: defineTable({
    companyId: v.string(),
    url: v.string(),
    enabled: v.boolean(),
    createdAt: v.number(),
    /** Of the request that registered it. */
    idempotencyKey: v.optional(v.string()),
    /** Until then events are signed with the signing secret before the last rotation, too. */
    previousUntil: v.optional(v.number()),
    /** The last rotation: its request's key, and the version of the signing secret that it makes. */
    rotation: v.optional(v.object({ idempotencyKey: v.union(v.string(), v.null()), version: v.number() })),
  }).index("by_company", ["companyId"]),

  /**
   * One row per event and endpoint, delivered at least once. Written by api/events.ts; deleted by api/prune.ts.
   */
  webhookEvents: defineTable({
    endpointId: v.id("webhookEndpoints"),
    /** Same for every attempt: receivers deduplicate by it. */
    eventId: v.string(),
    bodyJson: v.string(),
    state: v.union(v.literal("pending"), v.literal("delivered"), v.literal("failed")),
    attempts: v.number(),
    nextAttemptAt: v.number(),
    createdAt: v.number(),
    finishedAt: v.optional(v.number()),
    lastError: v.optional(v.string()),
  })
    .index("by_endpoint", ["endpointId", "createdAt"])
    .index("by_state_next", ["state", "nextAttemptAt"])
    .index("by_state_finished", ["state", "finishedAt"]),
};
