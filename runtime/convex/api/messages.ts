/** Messages and conversations for consumer apps: the database's side of api/operations/messages.ts. */
import { type Infer, v } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, internalQuery, type QueryCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { takeWithin } from "../policy/takeWithin.ts";
import { enqueueMessage } from "../queue/enqueue.ts";
import { deliveryOf } from "../replies/deliveries.ts";
import { vAttachment, vHistoryRole, vMessageStatus } from "../validators.ts";
import { vPrincipal } from "./authorize.ts";
import { requireAgent, requireConversation, requireMessage, resolveConversation } from "./tenancy.ts";
import { userIdOf } from "./writer.ts";

const HISTORY_LIMIT_MAX = 200;

/** Accepts a message whose answer is read over the API or comes by webhook. */
export const enqueueForConsumer = internalMutation({
  args: {
    principal: vPrincipal,
    conversationId: v.string(),
    agentKey: v.string(),
    userId: v.string(),
    text: v.string(),
    metadata: v.optional(v.record(v.string(), v.string())),
    attachments: v.optional(
      v.array(vAttachment.omit("telegramFileId", "storageId").extend({ storageId: v.string() })),
    ),
    priority: v.optional(v.number()),
    scheduledFor: v.optional(v.number()),
    idempotencyKey: v.union(v.string(), v.null()),
  },
  returns: v.object({ messageId: v.string(), conversationId: v.string(), duplicate: v.boolean() }),
  handler: async (ctx, { principal, conversationId, agentKey, userId, text, idempotencyKey, ...rest }) => {
    requireAgent(principal, agentKey);
    const { name, conversation } = await resolveConversation(ctx, principal, conversationId);
    // Its messages would be told apart by their ids alone.
    if (conversation !== null) requireAgent(principal, conversation.agentKey);
    const attachments = rest.attachments ?? [];
    const { messageId, duplicate } = await enqueueMessage(ctx, {
      conversationId: name,
      agentKey,
      payload: {
        provider: "api",
        providerUserId: userId,
        messageText: text,
        ...(idempotencyKey === null ? {} : { externalMessageId: `api:${idempotencyKey}` }),
        ...(rest.metadata === undefined ? {} : { metadata: rest.metadata }),
        ...(attachments.length === 0 ? {} : { attachments }),
      },
      destination: { kind: "api" },
      priority: rest.priority,
      scheduledFor: rest.scheduledFor,
      source: `api:${principal.keyId}`,
      companyId: principal.companyId,
      consumerUserId: userId,
    });
    if (duplicate) await requireSameRequest(ctx, messageId, { userId, text });
    return { messageId, conversationId: name, duplicate };
  },
});

/** @throws conflict when the Idempotency-Key has accepted something else: that answer would not be to this question. */
async function requireSameRequest(
  ctx: QueryCtx,
  messageId: Id<"messageQueue">,
  { userId, text }: { userId: string; text: string },
): Promise<void> {
  const accepted = (await ctx.db.get("messageQueue", messageId))?.payload;
  if (accepted?.messageText === text && accepted.providerUserId === userId) return;
  throw new FactoryError("conflict", "This Idempotency-Key was used for another message of the conversation");
}

const vMessageView = v.object({
  messageId: v.string(),
  conversationId: v.string(),
  agentKey: v.string(),
  userId: v.string(),
  status: vMessageStatus,
  attempts: v.number(),
  createdAt: v.number(),
  dueAt: v.number(),
  finishedAt: v.union(v.number(), v.null()),
  answer: v.union(v.string(), v.null()),
  error: v.union(v.string(), v.null()),
  delivery: v.object({
    state: v.union(
      v.literal("none"),
      v.literal("pending"),
      v.literal("delivered"),
      v.literal("failed"),
      v.literal("unknown"),
    ),
    parts: v.number(),
    deliveredAt: v.union(v.number(), v.null()),
  }),
});
export type MessageView = Infer<typeof vMessageView>;

export async function viewMessage(ctx: QueryCtx, message: Doc<"messageQueue">): Promise<MessageView> {
  return {
    messageId: message._id,
    conversationId: message.conversationId,
    agentKey: message.agentKey,
    userId: userIdOf(message),
    status: message.status,
    attempts: message.attempts,
    createdAt: message._creationTime,
    dueAt: message.dueAt,
    finishedAt: message.finishedAt ?? null,
    answer: message.answerText ?? null,
    error: message.lastError ?? null,
    delivery: await deliveryOf(ctx, message._id),
  };
}

export const getMessage = internalQuery({
  args: { principal: vPrincipal, messageId: v.string() },
  returns: vMessageView,
  handler: async (ctx, { principal, messageId }) =>
    await viewMessage(ctx, await requireMessage(ctx, principal, messageId)),
});

/** The message's id in its own type, for the room that acts on it. @throws not_found outside the company. */
export const ownMessageId = internalQuery({
  args: { principal: vPrincipal, messageId: v.string() },
  returns: v.id("messageQueue"),
  handler: async (ctx, { principal, messageId }) => (await requireMessage(ctx, principal, messageId))._id,
});

/** History after a sequence number, oldest first. `next` is what to ask with the next time; fewer rows than asked for, and `more`, where they are very long. */
export const history = internalQuery({
  args: { principal: vPrincipal, conversationId: v.string(), after: v.number(), limit: v.number() },
  returns: v.object({
    conversationId: v.string(),
    messages: v.array(v.object({ seq: v.number(), role: vHistoryRole, content: v.string(), at: v.number() })),
    next: v.number(),
    more: v.boolean(),
  }),
  handler: async (ctx, { principal, conversationId, after, limit }) => {
    const conversation = await requireConversation(ctx, principal, conversationId);
    const following = ctx.db
      .query("conversationMessages")
      .withIndex("by_conversation_seq", (q) => q.eq("conversation", conversation._id).gt("seq", after));
    const { rows, more } = await takeWithin(following, Math.min(HISTORY_LIMIT_MAX, limit));
    const messages = rows.map(({ seq, role, content, at }) => ({ seq, role, content, at }));
    return {
      conversationId: conversation.conversationId,
      messages,
      next: messages.at(-1)?.seq ?? after,
      more,
    };
  },
});

const AGENTS_MAX = 500;

export const listAgentsFor = internalQuery({
  args: { principal: vPrincipal },
  returns: v.array(v.object({ agentKey: v.string(), version: v.string(), enabled: v.boolean() })),
  handler: async (ctx, { principal }) => {
    const agents = await ctx.db.query("agentProfiles").take(AGENTS_MAX);
    return agents
      .filter(({ agentKey }) => principal.agentKeys === null || principal.agentKeys.includes(agentKey))
      .map(({ agentKey, version, enabled }) => ({ agentKey, version, enabled }));
  },
});
