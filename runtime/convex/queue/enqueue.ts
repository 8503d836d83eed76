/** The queue's entrance: a message is checked, gets its place in line, and one worker is told. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import { internalMutation, type MutationCtx, type QueryCtx } from "../_generated/server.js";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { findAgent } from "../identity/findAgent.ts";
import { clampPriority, scheduledPlace } from "../policy/order.ts";
import { checkPayload } from "../policy/payload.ts";
import type { RuntimeConfig } from "../policy/runtimeConfig.ts";
import { kickScaler } from "../scaler/kick.ts";
import { type Destination, type Payload, vDestination, vPayload } from "../validators.ts";
import { holdAttachments, storedFiles } from "../files/attachments.ts";
import { refreshHead } from "./heads.ts";
import { findConversation, openConversation, saveConversation } from "./openConversation.ts";
import { wakeForHead } from "./wake.ts";

export type EnqueueRequest = {
  conversationId: string;
  agentKey: string;
  payload: Payload;
  /** null: nobody is told; the answer is read from the message. */
  destination: Destination | null;
  /** 0..100, higher first; clamped. Default `queue.defaultPriority`. */
  priority?: number | undefined;
  /** Not before this time, ms. In the past: now. */
  scheduledFor?: number | undefined;
  /** Takes its place in line now, and is claimable only after this long, ms: more of it may still arrive (amend.ts). */
  holdMs?: number | undefined;
  maxAttempts?: number | undefined;
  /** Who asked, for people who look: `telegram`, `api`, `schedule`, … */
  source?: string | undefined;
  /** Tenant; kept from the first message that names one. */
  companyId?: string | undefined;
  consumerUserId?: string | undefined;
};

export type EnqueueOutcome = {
  messageId: Id<"messageQueue">;
  /** True when a message with this external id is already in the conversation: nothing was changed. */
  duplicate: boolean;
};

/** Furthest a message may be scheduled ahead, ms. */
const SCHEDULE_AHEAD_MAX_MS = 366 * 24 * 60 * 60 * 1_000;

/**
 * Accepts a message, or throws and leaves nothing behind.
 *
 * @throws invalid_argument, payload_too_large, not_found (agent), conflict (conversation of another agent or
 *   company), backlog_full, not_configured.
 */
export async function enqueueMessage(ctx: MutationCtx, request: EnqueueRequest): Promise<EnqueueOutcome> {
  const { config } = await readRuntimeConfig(ctx);
  checkRequest(request, config);
  const existing = await findConversation(ctx, request.conversationId);
  if (existing !== null) requireSameCompany(existing, request);
  // Before every other check: a repeated delivery of what was accepted is not an error, whatever changed since.
  const earlier = existing && (await findDuplicate(ctx, existing, request.payload.externalMessageId));
  if (earlier) return { messageId: earlier._id, duplicate: true };

  const agent = await findAgent(ctx, request.agentKey);
  if (agent === null || !agent.enabled) {
    throw new FactoryError("not_found", `Agent profile '${request.agentKey}' not found or disabled`);
  }
  if (existing !== null && existing.agentKey !== request.agentKey) {
    throw new FactoryError(
      "conflict",
      `Conversation '${request.conversationId}' is already bound to agent '${existing.agentKey}', cannot enqueue for '${request.agentKey}'.`,
    );
  }
  if (existing !== null && existing.queuedCount >= config.queue.conversationBacklogMax) {
    throw new FactoryError(
      "backlog_full",
      `Conversation '${request.conversationId}' has ${existing.queuedCount} waiting messages, the limit is ${config.queue.conversationBacklogMax} (queue.conversationBacklogMax). Try again later.`,
    );
  }
  const now = Date.now();
  const open = openConversation(existing ?? (await createConversation(ctx, request)), now);
  open.row.companyId ??= request.companyId;
  open.row.consumerUserId ??= request.consumerUserId;

  const scheduled = request.scheduledFor !== undefined && request.scheduledFor > now;
  const dueAt = Math.max(now + (request.holdMs ?? 0), request.scheduledFor ?? now);
  const delayed = dueAt > now;
  const messageId = await ctx.db.insert("messageQueue", {
    conversation: open.id,
    conversationId: open.conversationId,
    agentKey: open.agentKey,
    seq: scheduled ? scheduledPlace(dueAt) : open.row.nextSeq++,
    status: "queued",
    payload: request.payload,
    destination: request.destination,
    priority: clampPriority(request.priority, config.queue.defaultPriority, config.queue.maxPriority),
    dueAt,
    delayed,
    attempts: 0,
    maxAttempts: request.maxAttempts ?? config.retry.maxAttempts,
    ...(request.source === undefined ? {} : { source: request.source }),
    ...(request.consumerUserId === undefined ? {} : { consumerUserId: request.consumerUserId }),
    ...(storedFiles(request.payload).length === 0 ? {} : { holdsFiles: true }),
  });
  await holdAttachments(
    ctx,
    { conversation: open.id, companyId: open.row.companyId },
    messageId,
    request.payload,
  );
  open.row.queuedCount += 1;
  open.tally.queued += 1;
  if (delayed) {
    open.tally.delayed += 1;
    await ctx.scheduler.runAt(dueAt, internal.queue.promote.promoteMessage, { messageId });
  }
  const head = await refreshHead(ctx, open);
  await saveConversation(ctx, open);
  if (head.becameReady) await wakeForHead(ctx, open, head.message, config);
  if (!delayed) await kickScaler(ctx, "enqueue");
  return { messageId, duplicate: false };
}

function checkRequest(request: EnqueueRequest, config: RuntimeConfig): void {
  const problem = checkPayload(request, config.queue.payloadMaxBytes);
  if (problem !== null) throw new FactoryError(problem.code, problem.message);
  const { maxAttempts, scheduledFor } = request;
  if (
    maxAttempts !== undefined &&
    !(Number.isInteger(maxAttempts) && maxAttempts >= 1 && maxAttempts <= 50)
  ) {
    throw new FactoryError(
      "invalid_argument",
      `maxAttempts must be a whole number from 1 to 50, got ${maxAttempts}`,
    );
  }
  if (scheduledFor !== undefined && !(scheduledFor <= Date.now() + SCHEDULE_AHEAD_MAX_MS)) {
    throw new FactoryError(
      "invalid_argument",
      "scheduledFor must be at most 366 days ahead (ms since the epoch)",
    );
  }
}

/** Names of conversations are chosen by their users: a clash must not put one company's words into another's hands. */
function requireSameCompany(existing: Doc<"conversations">, request: EnqueueRequest): void {
  const { companyId, conversationId } = request;
  if (companyId === undefined || existing.companyId === undefined || existing.companyId === companyId) return;
  throw new FactoryError("conflict", `Conversation '${conversationId}' belongs to another company`);
}

async function findDuplicate(
  ctx: QueryCtx,
  conversation: Doc<"conversations">,
  externalMessageId: string | undefined,
): Promise<Doc<"messageQueue"> | null> {
  if (externalMessageId === undefined) return null;
  return await ctx.db
    .query("messageQueue")
    .withIndex("by_conversation_external", (q) =>
      q.eq("conversation", conversation._id).eq("payload.externalMessageId", externalMessageId),
    )
    .first();
}

/** The conversation's message of that external id; null for none, also when the conversation does not exist. */
export async function findByExternalId(
  ctx: QueryCtx,
  conversationId: string,
  externalMessageId: string,
): Promise<Doc<"messageQueue"> | null> {
  const conversation = await findConversation(ctx, conversationId);
  return conversation === null ? null : await findDuplicate(ctx, conversation, externalMessageId);
}

async function createConversation(ctx: MutationCtx, request: EnqueueRequest): Promise<Doc<"conversations">> {
  const fields = {
    conversationId: request.conversationId,
    agentKey: request.agentKey,
    nextSeq: 0,
    nextHistorySeq: 0,
    queuedCount: 0,
  };
  const _id = await ctx.db.insert("conversations", fields);
  // Reading it back would cost a document; nobody asks this copy when it was created.
  return { _id, _creationTime: Date.now(), ...fields };
}

/** `factory:enqueue` (spec E1): for operators and tests; ingress calls `enqueueMessage` in its own transaction. */
export const enqueue = internalMutation({
  args: {
    conversationId: v.string(),
    agentKey: v.string(),
    payload: vPayload,
    destination: v.optional(v.union(vDestination, v.null())),
    priority: v.optional(v.number()),
    scheduledFor: v.optional(v.number()),
    maxAttempts: v.optional(v.number()),
  },
  returns: v.id("messageQueue"),
  handler: async (ctx, args): Promise<Id<"messageQueue">> => {
    const { messageId } = await enqueueMessage(ctx, {
      ...args,
      destination: args.destination ?? null,
      source: "operator",
    });
    return messageId;
  },
});
