/** A message on its way in, and how the system itself speaks to where it came from. */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import type { Addressed } from "../policy/addressing.ts";
import type { PersonMessage } from "../policy/telegramUpdate.ts";
import { rememberChat } from "../replies/chats.ts";
import { storeNotice } from "../replies/outbox.ts";
import type { Destination } from "../validators.ts";
import type { RoutingOverrides } from "./routing.ts";

export type Incoming = {
  bot: Doc<"telegramBots">;
  message: PersonMessage;
  addressed: Extract<Addressed, { addressed: true }>;
  overrides: RoutingOverrides;
  now: number;
};

/** Answers go to the chat and topic that the message came from; in a group they quote it. */
export function destinationOf({ bot, message }: Incoming): Destination {
  return {
    kind: "telegram",
    botSecretRef: bot.secretRef,
    chatId: message.chat.id,
    ...(message.threadId === null ? {} : { threadId: message.threadId }),
    ...(message.chat.isPrivate ? {} : { replyToMessageId: message.messageId }),
  };
}

/** The lane of a chat that may have no conversation yet. */
export const chatLane = ({ bot, message }: Incoming): string => `telegram:${bot.botId}:${message.chat.id}`;

/** A line of the system's own, past the conversation's replies. */
export async function say(
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

/** A stranger gets at most one reply, ever: nobody can make the bot talk by writing to it. */
export async function tellStrangerOnce(
  ctx: MutationCtx,
  incoming: Incoming,
  chat: Doc<"telegramChats"> | null,
  text: string,
): Promise<void> {
  if (chat?.strangerToldAt !== undefined) return;
  await rememberChat(ctx, incoming.bot.botId, incoming.message.chat.id, { strangerToldAt: incoming.now });
  await say(ctx, incoming, chatLane(incoming), text, "stranger");
}
