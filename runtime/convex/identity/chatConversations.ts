/**
 * Which conversation a chat (or topic) and agent are in.
 *
 * A conversation belongs to one agent and one company for ever, so that a chat which is re-bound gets another one, and
 * finds the former again when it returns. Topics of a forum are conversations of their own. `/new` moves on to a fresh one.
 */
import type { Doc } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

export type ChatPlace = {
  botId: string;
  chatId: string;
  /** null outside topics. */
  threadId: number | null;
  agentKey: string;
  /** Company of the person or group; null for people whom no company brought. */
  companyId: string | null;
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
        .eq("agentKey", place.agentKey)
        .eq("companyId", place.companyId ?? undefined),
    )
    .unique();
}

function chatName(place: ChatPlace): string {
  const chat = `telegram:${place.botId}:${place.chatId}`;
  return place.threadId === null ? chat : `${chat}:${place.threadId}`;
}

/** Whether another agent or company already uses a name, in a conversation or in a place that has none yet. */
async function isTaken(ctx: QueryCtx, name: string, place: ChatPlace): Promise<boolean> {
  const companyId = place.companyId ?? undefined;
  const owner = await ctx.db
    .query("conversations")
    .withIndex("by_conversation_id", (q) => q.eq("conversationId", name))
    .unique();
  if (owner !== null && (owner.agentKey !== place.agentKey || owner.companyId !== companyId)) return true;
  const user = await ctx.db
    .query("chatConversations")
    .withIndex("by_conversation", (q) => q.eq("conversationId", name))
    .first();
  return user !== null && (user.agentKey !== place.agentKey || user.companyId !== companyId);
}

/** The name for a first contact: the chat's own, made longer as far as it is taken. */
async function firstName(ctx: QueryCtx, place: ChatPlace): Promise<string> {
  const name = place.stableConversationId ?? chatName(place);
  const ofAgent = `${name}:${place.agentKey}`;
  for (const candidate of [name, ofAgent]) if (!(await isTaken(ctx, candidate, place))) return candidate;
  return `${ofAgent}:${place.companyId ?? ""}`;
}

/** The place's conversation so far; null before the first message. */
export async function conversationSoFar(ctx: QueryCtx, place: ChatPlace): Promise<string | null> {
  const known = await findPlace(ctx, place);
  return known === null || movedAway(known, place) ? null : known.conversationId;
}

/** The place's conversation; the first call decides its name and keeps it. */
export async function conversationOfChat(ctx: MutationCtx, place: ChatPlace): Promise<string> {
  const known = await findPlace(ctx, place);
  if (known !== null && !movedAway(known, place)) return known.conversationId;
  const conversationId = await firstName(ctx, place);
  if (known !== null) {
    await ctx.db.patch("chatConversations", known._id, {
      conversationId,
      generation: 0,
      ...stableField(place),
    });
  } else {
    await ctx.db.insert("chatConversations", {
      botId: place.botId,
      chatId: place.chatId,
      threadId: place.threadId ?? 0,
      agentKey: place.agentKey,
      ...(place.companyId === null ? {} : { companyId: place.companyId }),
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
  await ctx.db.patch("chatConversations", known._id, { conversationId, generation });
  return conversationId;
}

/** A group may be at most this many topics × agents for its move to a supergroup to carry all of them over. */
const PLACES_MOVED_MAX = 500;

/** A group became a supergroup under a new chat id: its conversations go with it. */
export async function moveChat(
  ctx: MutationCtx,
  botId: string,
  fromChatId: string,
  toChatId: string,
): Promise<void> {
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
          .eq("agentKey", place.agentKey)
          .eq("companyId", place.companyId),
      )
      .unique();
    if (taken === null) await ctx.db.patch("chatConversations", place._id, { chatId: toChatId });
  }
  const bindings = await ctx.db
    .query("identityBindings")
    .withIndex("by_telegram_chat", (q) => q.eq("telegramChatId", fromChatId).eq("status", "active"))
    .take(PLACES_MOVED_MAX);
  for (const binding of bindings)
    await ctx.db.patch("identityBindings", binding._id, { telegramChatId: toChatId });
}
