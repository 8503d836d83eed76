/** How a person is reached: the agent of their binding, in the conversation that they already have with it. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { conversationOfChat } from "../identity/chatConversations.ts";
import { findBot } from "../ingress/bots.ts";
import { botSecretRef, SHARED_BOT_REFS } from "../ingress/paths.ts";
import { enqueueMessage } from "../queue/enqueue.ts";
import { findChat } from "../replies/chats.ts";
import type { Destination } from "../validators.ts";

export type Push = {
  title: string;
  text: string;
  /** Makes the enqueue idempotent inside the conversation. */
  externalMessageId: string;
  /** `schedule` or `broadcast`. */
  source: string;
  metadata: Record<string, string>;
  scheduledFor?: number;
};

export type Reach = { kind: "enqueued"; messageId: Id<"messageQueue"> } | { kind: "skipped"; reason: string };

type Route = { conversationId: string; destination: Destination } | { unreachable: string };

/** The bot that a binding was made through; for bindings made by hand the agent's own bot, else the shared one. */
async function botOf(
  ctx: MutationCtx,
  binding: Doc<"identityBindings">,
): Promise<Doc<"telegramBots"> | null> {
  const refs = binding.botSecretRef
    ? [binding.botSecretRef]
    : [botSecretRef(binding.agentKey), ...SHARED_BOT_REFS];
  for (const ref of refs) {
    const bot = await findBot(ctx, ref);
    if (bot !== null) return bot;
  }
  return null;
}

async function routeOf(ctx: MutationCtx, binding: Doc<"identityBindings">): Promise<Route> {
  const chatId = binding.telegramChatId ?? binding.telegramUserId;
  if (chatId === undefined) {
    return binding.conversationId === undefined
      ? { unreachable: "the person has neither a chat nor a conversation" }
      : { conversationId: binding.conversationId, destination: { kind: "api" } };
  }
  const bot = await botOf(ctx, binding);
  if (bot === null) return { unreachable: "no bot serves the person's agent" };
  const chat = await findChat(ctx, bot.botId, chatId);
  if (chat?.unreachableSince !== undefined) return { unreachable: "the person blocked the bot" };
  const conversationId = await conversationOfChat(ctx, {
    botId: bot.botId,
    chatId,
    threadId: null,
    agentKey: binding.agentKey,
    companyId: binding.companyId ?? null,
    stableConversationId: chatId.startsWith("-") ? null : (binding.conversationId ?? null),
  });
  return { conversationId, destination: { kind: "telegram", botSecretRef: bot.secretRef, chatId } };
}

/** Puts a push into the person's conversation. @throws what enqueueMessage throws; nothing is left behind then. */
export async function reachPerson(
  ctx: MutationCtx,
  binding: Doc<"identityBindings">,
  push: Push,
): Promise<Reach> {
  const route = await routeOf(ctx, binding);
  if ("unreachable" in route) return { kind: "skipped", reason: route.unreachable };
  const { messageId } = await enqueueMessage(ctx, {
    conversationId: route.conversationId,
    agentKey: binding.agentKey,
    payload: {
      provider: route.destination.kind === "telegram" ? "telegram" : "api",
      providerUserId: binding.telegramUserId ?? binding.consumerUserId,
      messageText: push.text,
      externalMessageId: push.externalMessageId,
      metadata: { ...push.metadata, pushTitle: push.title },
    },
    destination: route.destination,
    source: push.source,
    consumerUserId: binding.consumerUserId,
    companyId: binding.companyId,
    scheduledFor: push.scheduledFor,
  });
  return { kind: "enqueued", messageId };
}
