import { defineTable } from "convex/server";
import { v } from "convex/values";
import { vAttachment } from "../validators.ts";

/** Tables of Telegram ingress. */
export const ingressTables = {
  /**
   * One row per update that was acted on: Telegram delivers at least once.
   * Written in the transaction that acts; deleted by ingress/prune.ts after `retention.updateIdMs`.
   */
  telegramUpdates: defineTable({
    botSecretRef: v.string(),
    updateId: v.number(),
    receivedAt: v.number(),
  })
    .index("by_bot_update", ["botSecretRef", "updateId"])
    .index("by_received_at", ["receivedAt"]),

  /**
   * Updates that met a defect: after some failures they are set aside, so that Telegram goes on to the next.
   * Written and counted by ingress/refuse.ts; deleted by ingress/prune.ts with the update ids.
   */
  telegramFailures: defineTable({
    botSecretRef: v.string(),
    updateId: v.number(),
    failures: v.number(),
    firstAt: v.number(),
  })
    .index("by_bot_update", ["botSecretRef", "updateId"])
    .index("by_first_at", ["firstAt"]),

  /**
   * One row per album: the parts that the latest message of it holds, or that wait for one that names the bot.
   * Written by ingress/albums.ts; deleted by ingress/prune.ts with the update ids.
   */
  telegramAlbums: defineTable({
    botId: v.string(),
    chatId: v.string(),
    /** Telegram's media_group_id. */
    albumId: v.string(),
    parts: v.array(
      v.object({
        messageId: v.number(),
        text: v.string(),
        isWritten: v.boolean(),
        attachments: v.array(vAttachment),
      }),
    ),
    /** The message in which the agent reads the parts; absent while nobody has named the bot. */
    message: v.optional(v.id("messageQueue")),
    openedAt: v.number(),
  })
    .index("by_album", ["botId", "chatId", "albumId"])
    .index("by_opened_at", ["openedAt"]),

  /** One row per bot, by secret ref. Written by configureTelegramWebhook and at a bot's first update. */
  telegramBots: defineTable({
    secretRef: v.string(),
    /** Telegram's user id of the bot: the digits before the token's colon. */
    botId: v.string(),
    /** Without `@`; known once configureTelegramWebhook has asked getMe. */
    username: v.optional(v.string()),
    webhookUrl: v.optional(v.string()),
    /** SHA-256 (hex) of the header value registered last: shows drift without holding the value. */
    webhookSecretHash: v.optional(v.string()),
    configuredAt: v.optional(v.number()),
  })
    .index("by_secret_ref", ["secretRef"])
    .index("by_bot_id", ["botId"]),

  /**
   * One row per chat that a bot met and that needs remembering: told once, blocked, migrated.
   * Written by ingress and by delivery (blocked); deleted by nobody.
   */
  telegramChats: defineTable({
    botId: v.string(),
    chatId: v.string(),
    /** When a stranger got the one reply that a stranger gets. */
    strangerToldAt: v.optional(v.number()),
    /** When the chat was last told that its messages are refused (too many, too long, no agent). */
    refusedToldAt: v.optional(v.number()),
    /** The person blocked the bot, or the bot was removed from the group. */
    unreachableSince: v.optional(v.number()),
    /** Set when the group became a supergroup. */
    migratedTo: v.optional(v.string()),
  }).index("by_chat", ["botId", "chatId"]),
};
