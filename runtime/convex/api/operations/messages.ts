/** Messages, conversations, agents, files. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { agentKey, consumerId, factoryId, messageShape, metadata, time, waitMs } from "../shapes.ts";
import { waitFor } from "../waitFor.ts";

const attachment = z.strictObject({
  kind: z.enum(["photo", "voice", "audio", "video", "document"]),
  storageId: factoryId.describe("From an upload (createUpload)"),
  fileName: z.string().max(256).optional(),
  mimeType: z.string().max(128).optional(),
});

const messageParams = z.strictObject({ messageId: factoryId });
const conversationParams = z.strictObject({ conversationId: consumerId });

export const messageOperations: readonly Operation[] = [
  operation({
    id: "enqueueMessage",
    method: "POST",
    path: "/messages",
    summary: "Send a message to an agent. The answer is read with getMessage or comes by webhook.",
    scope: "messages:write",
    params: noParams,
    query: noQuery,
    idempotent: "The same key in the same conversation accepts one message, however often it is sent",
    body: z.strictObject({
      conversationId: consumerId.describe("Your own id; messages of one conversation are answered in order"),
      agentKey,
      userId: consumerId.describe("Your own id of the person who writes"),
      text: z.string().min(1).max(100_000),
      metadata: metadata.optional(),
      attachments: z.array(attachment).max(10).optional(),
      priority: z.number().int().min(0).max(100).optional(),
      scheduledFor: time.optional(),
    }),
    status: 202,
    response: z.object({
      messageId: z.string(),
      conversationId: z.string().describe("Full id; both it and yours are understood"),
      duplicate: z.boolean().describe("True when the Idempotency-Key was used in this conversation before"),
    }),
    run: async (ctx, principal, { body, idempotencyKey }) =>
      await ctx.runMutation(internal.api.messages.enqueueForConsumer, { principal, idempotencyKey, ...body }),
  }),
  operation({
    id: "getMessage",
    method: "GET",
    path: "/messages/{messageId}",
    summary: "Status and answer of a message; with waitMs, waits for its end.",
    scope: "messages:read",
    params: messageParams,
    query: z.object({ waitMs }),
    body: noBody,
    status: 200,
    response: messageShape,
    run: async (ctx, principal, { params, query }) =>
      await waitFor(
        query.waitMs,
        () => ctx.runQuery(internal.api.messages.getMessage, { principal, ...params }),
        ({ status }) => status !== "queued" && status !== "processing",
      ),
  }),
  operation({
    id: "cancelMessage",
    method: "POST",
    path: "/messages/{messageId}/cancel",
    summary: "Cancel a message: one that waits at once, one that runs as soon as its worker confirms.",
    scope: "messages:write",
    params: messageParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({
      outcome: z
        .enum(["cancelled", "requested", "none"])
        .describe("cancelled: it is, by this request or an earlier one; none: it had ended otherwise"),
    }),
    run: async (ctx, principal, { params }) => {
      const messageId = await ctx.runQuery(internal.api.messages.ownMessageId, { principal, ...params });
      const actor = `api:${principal.keyId}`;
      const outcome = await ctx.runMutation(internal.queue.cancel.cancelMessage, { messageId, actor });
      if (outcome !== "none") return { outcome };
      // Whose first answer was lost asks again, and is told the same.
      const { status } = await ctx.runQuery(internal.api.messages.getMessage, { principal, ...params });
      return { outcome: status === "cancelled" ? ("cancelled" as const) : outcome };
    },
  }),
  operation({
    id: "listConversationMessages",
    method: "GET",
    path: "/conversations/{conversationId}/messages",
    summary: "A conversation's history, oldest first; with waitMs, waits for what comes after `after`.",
    scope: "messages:read",
    params: conversationParams,
    query: z.object({
      after: z.coerce
        .number()
        .int()
        .min(-1)
        .default(-1)
        .describe("`next` of the last response; -1 from the start"),
      limit: z.coerce.number().int().min(1).max(200).default(50),
      waitMs,
    }),
    body: noBody,
    status: 200,
    response: z.object({
      conversationId: z.string(),
      messages: z.array(
        z.object({
          seq: z.number(),
          role: z.enum(["user", "assistant", "system", "tool"]),
          content: z.string(),
          at: time,
        }),
      ),
      next: z.number(),
      more: z.boolean(),
    }),
    run: async (ctx, principal, { params, query: { waitMs: patience, ...range } }) =>
      await waitFor(
        patience,
        () => ctx.runQuery(internal.api.messages.history, { principal, ...params, ...range }),
        ({ messages }) => messages.length > 0,
      ),
  }),
  operation({
    id: "listAgents",
    method: "GET",
    path: "/agents",
    summary: "The agents that this key may use.",
    scope: "agents:read",
    params: noParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({
      agents: z.array(z.object({ agentKey: z.string(), version: z.string(), enabled: z.boolean() })),
    }),
    run: async (ctx, principal) => ({
      agents: await ctx.runQuery(internal.api.messages.listAgentsFor, { principal }),
    }),
  }),
  operation({
    id: "createUpload",
    method: "POST",
    path: "/uploads",
    summary:
      "A URL to POST one file to; its answer names the storageId for an attachment. A file that no message carries within six hours is deleted.",
    scope: "messages:write",
    params: noParams,
    query: noQuery,
    body: noBody,
    status: 201,
    response: z.object({ uploadUrl: z.string() }),
    run: async (ctx) => await ctx.runMutation(internal.ingress.media.generateMediaUploadUrl, {}),
  }),
];
