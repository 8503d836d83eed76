/**
 * One Telegram update, one transaction: deduplicated, understood, and turned into a queued message, a command's
 * effect or nothing. What comes back is what Telegram is told.
 *
 * Status codes are chosen for Telegram's redelivery: 2xx for everything that a second delivery would not change.
 */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { bindingOfTelegramChat, bindingOfTelegramUser } from "../identity/bindings.ts";
import { type ChatPlace, conversationOfChat, moveChat } from "../identity/chatConversations.ts";
import { consumeCode } from "../identity/pairing.ts";
import { type Addressed, decideAddressed, decideAgent, type Routing } from "../policy/addressing.ts";
import { isPairingCodeShape, pairingErrors } from "../policy/pairing.ts";
import { parseUpdate, type PersonMessage } from "../policy/telegramUpdate.ts";
import { enqueueMessage } from "../queue/enqueue.ts";
import { findChat, rememberChat } from "../replies/chats.ts";
import { storeNotice } from "../replies/outbox.ts";
import type { Destination } from "../validators.ts";
import { ensureBot } from "./bots.ts";
import { runCommand } from "./commands.ts";
import { botAgentKey } from "./paths.ts";
import { texts } from "./texts.ts";

export const vRoutingOverrides = v.object({
  resolveAgentKeyFromBinding: v.optional(v.boolean()),
  fallbackAgentKey: v.optional(v.string()),
  requireBindingForTelegram: v.optional(v.boolean()),
});

/** What the webhook answers. */
export const vReception = v.union(
  v.object({ kind: v.literal("accepted") }),
  v.object({ kind: v.literal("handled") }),
  v.object({ kind: v.literal("duplicate") }),
  v.object({ kind: v.literal("ignored"), reason: v.string() }),
  v.object({
    kind: v.literal("pairing"),
    pairing: v.union(
      v.object({ status: v.literal("used"), consumerUserId: v.string(), agentKey: v.string() }),
      v.object({ status: v.literal("failed"), error: v.string() }),
    ),
  }),
);
export type Reception = typeof vReception.type;

const receiveArgs = {
  botSecretRef: v.string(),
  /** The request's body, already capped. */
  body: v.string(),
  overrides: vRoutingOverrides,
};

/** Acts on one update of an authenticated webhook call. */
export const receiveUpdate = internalMutation({
  args: receiveArgs,
  returns: vReception,
  handler: async (ctx, { botSecretRef, body, overrides }): Promise<Reception> => {
    const parsed = parseUpdate(parseJson(body));
    if (!parsed.ok) return { kind: "ignored", reason: parsed.reason };
    const { event, updateId } = parsed;
    if (event.kind === "ignored") return { kind: "ignored", reason: event.reason };
    const bot = await ensureBot(ctx, botSecretRef);
    if (bot === null) return { kind: "ignored", reason: `no active '${botSecretRef}' secret` };

    const now = Date.now();
    if (event.kind !== "message") {
      if (!(await firstDelivery(ctx, botSecretRef, updateId, now))) return { kind: "duplicate" };
      if (event.kind === "migration") {
        await moveChat(ctx, bot.botId, event.fromChatId, event.toChatId);
        await rememberChat(ctx, bot.botId, event.fromChatId, { migratedTo: event.toChatId });
      } else {
        await rememberChat(ctx, bot.botId, event.chatId, {
          unreachableSince: event.isMember ? undefined : now,
        });
      }
      return { kind: "handled" };
    }

    const addressed = decideAddressed(event, { botId: bot.botId, username: bot.username ?? null });
    // Before deduplication: a busy group's talk among people must not cost a write per line.
    if (!addressed.addressed) return { kind: "ignored", reason: "not addressed to the bot" };
    if (!(await firstDelivery(ctx, botSecretRef, updateId, now))) return { kind: "duplicate" };
    return await receiveMessage(ctx, { bot, message: event, addressed, overrides, now });
  },
});

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

/** Remembers the update; false when it was seen before. */
async function firstDelivery(
  ctx: MutationCtx,
  botSecretRef: string,
  updateId: number,
  now: number,
): Promise<boolean> {
  const seen = await ctx.db
    .query("telegramUpdates")
    .withIndex("by_bot_update", (q) => q.eq("botSecretRef", botSecretRef).eq("updateId", updateId))
    .first();
  if (seen !== null) return false;
  await ctx.db.insert("telegramUpdates", { botSecretRef, updateId, receivedAt: now });
  return true;
}

type Incoming = {
  bot: Doc<"telegramBots">;
  message: PersonMessage;
  addressed: Extract<Addressed, { addressed: true }>;
  overrides: typeof vRoutingOverrides.type;
  now: number;
};

async function receiveMessage(ctx: MutationCtx, incoming: Incoming): Promise<Reception> {
  const { bot, message, addressed, overrides } = incoming;
  const { config } = await readRuntimeConfig(ctx);
  const chat = await findChat(ctx, bot.botId, message.chat.id);
  if (chat?.unreachableSince !== undefined)
    await ctx.db.patch("telegramChats", chat._id, { unreachableSince: undefined });

  const userBinding = await bindingOfTelegramUser(ctx, message.sender.id);
  const chatBinding = await bindingOfTelegramChat(ctx, message.chat.id);
  const routing = decideAgent({
    botAgentKey: botAgentKey(bot.secretRef),
    isPrivate: message.chat.isPrivate,
    userBinding,
    chatBinding,
    options: { ...config.telegram, ...withoutUndefined(overrides) },
  });
  if (addressed.command?.name === "start") {
    return await start(ctx, incoming, addressed.command.argument, routing, chat);
  }
  if (routing.kind === "refused") {
    await tellStrangerOnce(ctx, incoming, chat, texts.stranger);
    return { kind: "ignored", reason: routing.reason };
  }

  // A private chat is its person's. A group is nobody's, unless it was bound itself: what its members say must not
  // come to belong to the company of whoever spoke first.
  const candidate = message.chat.isPrivate ? userBinding : chatBinding;
  const owner = candidate?.agentKey === routing.agentKey ? candidate : null;
  const place: ChatPlace = {
    botId: bot.botId,
    chatId: message.chat.id,
    threadId: message.threadId,
    agentKey: routing.agentKey,
    companyId: owner?.companyId ?? null,
    stableConversationId: message.chat.isPrivate ? (owner?.conversationId ?? null) : null,
  };
  if (addressed.command !== null) {
    const { text, conversationId } = await runCommand(ctx, addressed.command.name, place);
    await say(ctx, incoming, conversationId, text, "command");
    return { kind: "handled" };
  }
  await enqueueMessage(ctx, {
    conversationId: await conversationOfChat(ctx, place),
    agentKey: routing.agentKey,
    payload: {
      provider: "telegram",
      providerUserId: message.sender.id,
      messageText: addressed.text,
      externalMessageId: `telegram:${message.chat.id}:${message.messageId}`,
      metadata: metadataOf(message),
      ...(message.attachments.length === 0 ? {} : { attachments: message.attachments }),
    },
    destination: destinationOf(incoming),
    source: "telegram",
    consumerUserId: owner?.consumerUserId,
    companyId: owner?.companyId,
  });
  return { kind: "accepted" };
}

/** Overrides that were given; absent ones leave the runtime config's value. */
function withoutUndefined(overrides: typeof vRoutingOverrides.type): typeof vRoutingOverrides.type {
  return Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined));
}

/** What the agent may want to know of the sender; in a group, who of its members speaks. */
function metadataOf(message: PersonMessage): Record<string, string> {
  return {
    senderName: message.sender.name,
    chatType: message.chat.isPrivate ? "private" : "group",
    ...(message.chat.title === null ? {} : { chatTitle: message.chat.title.slice(0, 128) }),
    ...(message.sender.languageCode === null
      ? {}
      : { languageCode: message.sender.languageCode.slice(0, 16) }),
  };
}

/** Answers go to the chat and topic that the message came from; in a group they quote it. */
function destinationOf({ bot, message }: Incoming): Destination {
  return {
    kind: "telegram",
    botSecretRef: bot.secretRef,
    chatId: message.chat.id,
    ...(message.threadId === null ? {} : { threadId: message.threadId }),
    ...(message.chat.isPrivate ? {} : { replyToMessageId: message.messageId }),
  };
}

async function say(
  ctx: MutationCtx,
  incoming: Incoming,
  conversationId: string,
  text: string,
  reason: string,
): Promise<void> {
  await storeNotice(ctx, {
    conversation: { conversationId },
    destination: destinationOf(incoming),
    text,
    reason,
    lane: "control",
  });
}

/** The lane of a chat that may have no conversation yet. */
const chatLane = ({ bot, message }: Incoming): string => `telegram:${bot.botId}:${message.chat.id}`;

/** A stranger gets at most one reply, ever: nobody can make the bot talk by writing to it. */
async function tellStrangerOnce(
  ctx: MutationCtx,
  incoming: Incoming,
  chat: Doc<"telegramChats"> | null,
  text: string,
): Promise<void> {
  if (chat?.strangerToldAt !== undefined) return;
  await rememberChat(ctx, incoming.bot.botId, incoming.message.chat.id, { strangerToldAt: incoming.now });
  await say(ctx, incoming, chatLane(incoming), text, "stranger");
}

/** `/start <code>` pairs; a bare `/start` greets whom the bot serves anyway. Never enqueued. */
async function start(
  ctx: MutationCtx,
  incoming: Incoming,
  code: string,
  routing: Routing,
  chat: Doc<"telegramChats"> | null,
): Promise<Reception> {
  const { bot, message, now } = incoming;
  // Whom the bot serves gets every answer; a stranger, one.
  const served = routing.kind === "agent";
  const fail = async (error: string, text: string): Promise<Reception> => {
    if (served) await say(ctx, incoming, chatLane(incoming), text, "pairing");
    else await tellStrangerOnce(ctx, incoming, chat, text);
    return { kind: "pairing", pairing: { status: "failed", error } };
  };
  if (!isPairingCodeShape(code)) {
    const greeting = routing.kind === "refused" ? texts.stranger : texts.welcome;
    return await fail(
      pairingErrors.missing,
      code === "" ? greeting : texts.pairingFailed(pairingErrors.missing),
    );
  }
  if (!message.chat.isPrivate) return await fail("pairing works in a private chat only", texts.pairInPrivate);
  const result = await consumeCode(
    ctx,
    {
      code,
      telegramUserId: message.sender.id,
      telegramChatId: message.chat.id,
      botSecretRef: bot.secretRef,
      botAgentKey: botAgentKey(bot.secretRef),
    },
    now,
  );
  if (result.status === "failed") return await fail(result.error, texts.pairingFailed(result.error));
  await say(ctx, incoming, chatLane(incoming), texts.paired, "pairing");
  return { kind: "pairing", pairing: result };
}

/** A flood is refused message by message, but told only this often. */
const REFUSED_TELL_INTERVAL_MS = 60_000;

/**
 * After the queue refused a message (agent gone, too large, too many waiting) and its transaction rolled back:
 * remembers the update, so that a redelivery changes nothing, and tells the person.
 */
export const refuseUpdate = internalMutation({
  args: { botSecretRef: v.string(), body: v.string(), code: v.string(), message: v.string() },
  returns: vReception,
  handler: async (ctx, { botSecretRef, body, code, message: reason }): Promise<Reception> => {
    const parsed = parseUpdate(parseJson(body));
    if (!parsed.ok || parsed.event.kind !== "message") return { kind: "ignored", reason };
    const bot = await ensureBot(ctx, botSecretRef);
    if (bot === null) return { kind: "ignored", reason };
    const now = Date.now();
    if (!(await firstDelivery(ctx, botSecretRef, parsed.updateId, now))) return { kind: "duplicate" };
    const text =
      code === "payload_too_large"
        ? texts.tooLong
        : code === "backlog_full"
          ? texts.tooMany
          : texts.unavailable;
    const addressed = { addressed: true, command: null, text: "" } as const;
    const incoming: Incoming = { bot, message: parsed.event, addressed, overrides: {}, now };
    const chatId = parsed.event.chat.id;
    const chat = await findChat(ctx, bot.botId, chatId);
    if (chat?.refusedToldAt !== undefined && now - chat.refusedToldAt < REFUSED_TELL_INTERVAL_MS) {
      return { kind: "ignored", reason };
    }
    await rememberChat(ctx, bot.botId, chatId, { refusedToldAt: now });
    await say(ctx, incoming, chatLane(incoming), text, "refused");
    return { kind: "ignored", reason };
  },
});
