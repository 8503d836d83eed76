/**
 * Commands of a chat. They are answered here, at ingress, and so overtake whatever waits in the queue; their answers
 * take the control lane past the conversation's own replies.
 */
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import { type ChatPlace, conversationOfChat, startNewConversation } from "../identity/chatConversations.ts";
import type { CommandName } from "../policy/addressing.ts";
import { cancelConversationTurn } from "../queue/cancel.ts";
import { leaveConversation } from "../queue/leave.ts";
import { TELEGRAM_SOURCE } from "./accept.ts";
import { texts } from "./texts.ts";

/** Commands that act on a conversation; `/start` is pairing's (receive.ts). */
export type ConversationCommand = Exclude<CommandName, "start">;

/** Carries a command out and returns the line to answer with, and the conversation it concerned. */
export async function runCommand(
  ctx: MutationCtx,
  command: ConversationCommand,
  place: ChatPlace,
): Promise<{ text: string; conversationId: string }> {
  const conversationId = await conversationOfChat(ctx, place);
  switch (command) {
    case "help":
      return { text: texts.help, conversationId };
    case "status":
      return { text: await describeStatus(ctx, conversationId), conversationId };
    case "stop": {
      const { outcome } = await cancelConversationTurn(ctx, conversationId);
      return { text: outcome === "none" ? texts.nothingToStop : texts.stopped, conversationId };
    }
    case "new":
      return await leave(ctx, conversationId, place);
  }
}

/**
 * A fresh conversation: whatever the person still had in the former one would be answered into a talk that they have
 * just left, so that all of it is dropped, and they are told how much.
 */
async function leave(
  ctx: MutationCtx,
  former: string,
  place: ChatPlace,
): Promise<{ text: string; conversationId: string }> {
  const { stopped, dropped, more } = await leaveConversation(ctx, former, TELEGRAM_SOURCE);
  const unanswered = dropped + (stopped ? 1 : 0);
  return {
    text: texts.newConversation(unanswered, more),
    conversationId: await startNewConversation(ctx, place),
  };
}

async function describeStatus(ctx: QueryCtx, conversationId: string): Promise<string> {
  const conversation = await ctx.db
    .query("conversations")
    .withIndex("by_conversation_id", (q) => q.eq("conversationId", conversationId))
    .unique();
  if (conversation === null) return texts.idle;
  if (conversation.pausedAt !== undefined) return texts.paused;
  const head = await ctx.db
    .query("conversationHeads")
    .withIndex("by_conversation", (q) => q.eq("conversation", conversation._id))
    .unique();
  if (head?.state === "leased") return texts.working(conversation.queuedCount);
  return conversation.queuedCount > 0 ? texts.waiting(conversation.queuedCount) : texts.idle;
}
