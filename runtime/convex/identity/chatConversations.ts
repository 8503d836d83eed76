/**
 * Which conversation a chat (or topic) and agent are in.
 *
 * A conversation belongs to one agent for ever, so that a chat which is re-bound gets another one, and finds the
 * former again when it returns. Topics of a forum are conversations of their own. `/new` moves on to a fresh one.
 */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

export type ChatPlace = {
  botId: string;
  chatId: string;
  /** null outside topics. */
  threadId: number | null;
  agentKey: string;
  /** A person's stable conversation, named by a binding; only ever given for private chats. */
  stableConversationId: string | null;
};

async function findPlace(ctx: QueryCtx, place: ChatPlace): Promise<Doc<"chatConversations"> | null> {
  return await ctx.db
    .query("chatConversations")
    .withIndex("by_place", (q) =>
      q
        .eq("botId", place.botId)
        .eq("chatId", place.chatId)
        .eq("threadId", place.threadId ?? 0)
        .eq("agentKey", place.agentKey),
    )
    .unique();
}

function chatName(place: ChatPlace): string {
  const chat = `telegram:${place.botId}:${place.chatId}`;
  return place.threadId === null ? chat : `${chat}:${place.threadId}`;
}

/** The name for a first contact: the chat's own, unless another agent already owns the conversation of that name. */
async function firstName(ctx: QueryCtx, place: ChatPlace): Promise<string> {
  const name = place.stableConversationId ?? chatName(place);
  const owner = await ctx.db
    .query("conversations")
    .withIndex("by_conversation_id", (q) => q.eq("conversationId", name))
    .unique();
  return owner === null || owner.agentKey === place.agentKey ? name : `${name}:${place.agentKey}`;
}

/** The place's conversation; the first call decides its name and keeps it. */
export async function conversationOfChat(ctx: MutationCtx, place: ChatPlace): Promise<string> {
  const known = await findPlace(ctx, place);
  if (known !== null && !movedAway(known, place)) return known.conversationId;
  const conversationId = await firstName(ctx, place);
  if (known !== null) {
    await ctx.db.patch(known._id, { conversationId, generation: 0, ...stableField(place) });
  } else {
    await ctx.db.insert("chatConversations", {
      botId: place.botId,
      chatId: place.chatId,
      threadId: place.threadId ?? 0,
      agentKey: place.agentKey,
      conversationId,
      generation: 0,
      ...stableField(place),
    });
  }
  return conversationId;
}

const stableField = (place: ChatPlace): { stableConversationId: string | undefined } => ({
  stableConversationId: place.stableConversationId ?? undefined,
});

/** A binding has since named another stable conversation, or none. */
function movedAway(known: Doc<"chatConversations">, place: ChatPlace): boolean {
  return (known.stableConversationId ?? null) !== place.stableConversationId;
}

/** Moves the place to a fresh conversation and returns it. The former keeps its history and files. */
export async function startNewConversation(ctx: MutationCtx, place: ChatPlace): Promise<string> {
  const current = await conversationOfChat(ctx, place);
  const known = await findPlace(ctx, place);
  if (known === null) throw new Error("a chat's conversation vanished inside its own transaction");
  const generation = known.generation + 1;
  const base = known.generation === 0 ? current : current.slice(0, current.lastIndexOf("~"));
  const conversationId = `${base}~${generation}`;
  await ctx.db.patch(known._id, { conversationId, generation });
  return conversationId;
}

/** A group may be at most this many topics × agents for its move to a supergroup to carry all of them over. */
const PLACES_MOVED_MAX = 500;

/** A group became a supergroup under a new chat id: its conversations go with it. */
export async function moveChat(ctx: MutationCtx, botId: string, fromChatId: string, toChatId: string): Promise<void> {
  const places = await ctx.db
    .query("chatConversations")
    .withIndex("by_place", (q) => q.eq("botId", botId).eq("chatId", fromChatId))
    .take(PLACES_MOVED_MAX);
  for (const place of places) {
    const taken = await ctx.db
      .query("chatConversations")
      .withIndex("by_place", (q) =>
        q
          .eq("botId", botId)
          .eq("chatId", toChatId)
          .eq("threadId", place.threadId)
          .eq("agentKey", place.agentKey),
      )
      .unique();
    if (taken === null) await ctx.db.patch(place._id, { chatId: toChatId });
  }
  const bindings = await ctx.db
    .query("identityBindings")
    .withIndex("by_telegram_chat", (q) => q.eq("telegramChatId", fromChatId).eq("status", "active"))
    .take(PLACES_MOVED_MAX);
  for (const binding of bindings) await ctx.db.patch(binding._id, { telegramChatId: toChatId });
}
