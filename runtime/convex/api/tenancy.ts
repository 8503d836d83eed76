/**
 * The walls between companies. What is not the principal's reads exactly like what does not exist.
 */
import type { Doc } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { findConversation } from "../queue/openConversation.ts";
import type { Principal } from "./authorize.ts";

/** Whether the key names the agent, or any. */
export function mayReach(principal: Principal, agentKey: string): boolean {
  return principal.agentKeys === null || principal.agentKeys.includes(agentKey);
}

/** @throws forbidden for an agent that the key does not name. */
export function requireAgent(principal: Principal, agentKey: string): void {
  if (!mayReach(principal, agentKey)) {
    throw new FactoryError("forbidden", `This service key may not use agent '${agentKey}'`);
  }
}

/**
 * Conversation ids are the consumer's own choice; each company has its own name space for them. Colons of the
 * company's id are encoded, so that no company's name and id together read like another's: `a:b` with `c`, `a` with `b:c`.
 */
function namespaced(principal: Principal, conversationId: string): string {
  return `api:${principal.companyId.replaceAll("%", "%25").replaceAll(":", "%3A")}:${conversationId}`;
}

/**
 * The conversation that a consumer means: one of its company's by its full id (a Telegram one, or one that a response
 * named), else the one it chose the id of. The name to create it under when there is none yet.
 */
export async function resolveConversation(
  ctx: QueryCtx,
  principal: Principal,
  conversationId: string,
): Promise<{ name: string; conversation: Doc<"conversations"> | null }> {
  const literal = await findConversation(ctx, conversationId);
  if (literal !== null && literal.companyId === principal.companyId)
    return { name: conversationId, conversation: literal };
  const name = namespaced(principal, conversationId);
  const own = await findConversation(ctx, name);
  return { name, conversation: own?.companyId === principal.companyId ? own : null };
}

/** @throws not_found for a conversation that is not the company's, or of an agent that the key does not name. */
export async function requireConversation(
  ctx: QueryCtx,
  principal: Principal,
  conversationId: string,
): Promise<Doc<"conversations">> {
  const { conversation } = await resolveConversation(ctx, principal, conversationId);
  if (conversation === null || !mayReach(principal, conversation.agentKey)) {
    throw new FactoryError("not_found", `Conversation '${conversationId}' not found`);
  }
  return conversation;
}

/** @throws not_found likewise. */
export async function requireMessage(
  ctx: QueryCtx,
  principal: Principal,
  messageId: string,
): Promise<Doc<"messageQueue">> {
  const id = ctx.db.normalizeId("messageQueue", messageId);
  const message = id === null ? null : await ctx.db.get("messageQueue", id);
  const conversation = message === null ? null : await ctx.db.get("conversations", message.conversation);
  if (
    message === null ||
    conversation?.companyId !== principal.companyId ||
    !mayReach(principal, message.agentKey)
  ) {
    throw new FactoryError("not_found", `Message '${messageId}' not found`);
  }
  return message;
}
