import { defineTable } from "convex/server";
import { v } from "convex/values";

export const vBindingSource = v.union(v.literal("manual"), v.literal("telegram_pairing"), v.literal("api"));

/** Tables of people and who they talk to. A person is (companyId, consumerUserId); ids never cross companies. */
export const identityTables = {
  /**
   * History of bindings: at most one active row per person and per Telegram user.
   * Written by identity/bindings.ts; never deleted, a re-binding or revoke closes the row.
   */
  identityBindings: defineTable({
    companyId: v.optional(v.string()),
    consumerUserId: v.string(),
    agentKey: v.string(),
    status: v.union(v.literal("active"), v.literal("revoked")),
    source: vBindingSource,
    telegramUserId: v.optional(v.string()),
    telegramChatId: v.optional(v.string()),
    /** The bot through which this person can be reached. */
    botSecretRef: v.optional(v.string()),
    /** A stable conversation of this person, used in private chats instead of the chat's own. */
    conversationId: v.optional(v.string()),
    boundAt: v.number(),
    revokedAt: v.optional(v.number()),
    revokedBecause: v.optional(v.string()),
  })
    .index("by_person", ["companyId", "consumerUserId", "status"])
    .index("by_telegram_user", ["telegramUserId", "status"])
    .index("by_telegram_chat", ["telegramChatId", "status"])
    .index("by_status", ["status"])
    .index("by_company_status", ["companyId", "status"])
    .index("by_agent_status", ["agentKey", "status"]),

  /**
   * One-time pairing codes; only their SHA-256 is kept. `expired` is also what a lapsed pending code reads as.
   * Written by identity/pairing.ts; deleted by ingress/prune.ts a month after they end.
   */
  pairingCodes: defineTable({
    codeHash: v.string(),
    companyId: v.optional(v.string()),
    consumerUserId: v.string(),
    agentKey: v.string(),
    status: v.union(v.literal("pending"), v.literal("used"), v.literal("expired")),
    createdAt: v.number(),
    expiresAt: v.number(),
    usedAt: v.optional(v.number()),
    telegramUserId: v.optional(v.string()),
  })
    .index("by_hash", ["codeHash"])
    .index("by_pair", ["companyId", "consumerUserId", "agentKey", "status"])
    .index("by_person_status", ["companyId", "consumerUserId", "status"])
    .index("by_expires_at", ["expiresAt"]),

  /** Failed pairing attempts of one Telegram user in the current window. Written by pairing; pruned with codes. */
  pairingAttempts: defineTable({
    telegramUserId: v.string(),
    windowStartedAt: v.number(),
    failed: v.number(),
  })
    .index("by_telegram_user", ["telegramUserId"])
    .index("by_window", ["windowStartedAt"]),

  /**
   * Which conversation a chat (or topic) and agent are in. A conversation belongs to one agent for ever, so a
   * chat that is re-bound needs another one; `/new` moves the chat to a fresh one.
   * Written by identity/chatConversations.ts; deleted by nobody.
   */
  chatConversations: defineTable({
    botId: v.string(),
    chatId: v.string(),
    /** Topic of a forum group; 0 outside topics. */
    threadId: v.number(),
    agentKey: v.string(),
    /** Company of the person; a company never comes to see what was said under another. */
    companyId: v.optional(v.string()),
    conversationId: v.string(),
    /** The binding's stable conversation that the name was made from, when one named it. */
    stableConversationId: v.optional(v.string()),
    /** How many times `/new` was used. */
    generation: v.number(),
  })
    .index("by_place", ["botId", "chatId", "threadId", "agentKey", "companyId"])
    .index("by_conversation", ["conversationId"]),
};
