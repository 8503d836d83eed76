/** Where the company wants to be told of answers. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { factoryId, time } from "../shapes.ts";

const ROTATION_GRACE_DEFAULT_MS = 24 * 60 * 60_000;
const endpointParams = z.strictObject({ endpointId: factoryId });

export const webhookOperations: readonly Operation[] = [
  operation({
    id: "createWebhookEndpoint",
    method: "POST",
    path: "/webhook-endpoints",
    summary: "Have events POSTed to a URL, signed as Standard Webhooks describes. The secret is shown once.",
    scope: "webhooks",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: z.strictObject({ url: z.string().min(1).max(2_048) }),
    status: 201,
    response: z.object({
      endpointId: z.string(),
      signingSecret: z.string().describe("whsec_ and base64: the HMAC-SHA256 key of webhook-signature"),
    }),
    idempotent: "The same key registers one endpoint; sent again, it tells the same secret",
    run: async (ctx, principal, { body, idempotencyKey }) =>
      await ctx.runAction(internal.api.endpoints.createEndpoint, { principal, idempotencyKey, ...body }),
  }),
  operation({
    id: "listWebhookEndpoints",
    method: "GET",
    path: "/webhook-endpoints",
    summary: "The company's endpoints, without their secrets.",
    scope: "webhooks",
    wholeCompany: true,
    params: noParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({
      endpoints: z.array(
        z.object({ endpointId: z.string(), url: z.string(), enabled: z.boolean(), createdAt: time }),
      ),
    }),
    run: async (ctx, principal) => ({
      endpoints: await ctx.runQuery(internal.api.endpoints.listEndpoints, { principal }),
    }),
  }),
  operation({
    id: "deleteWebhookEndpoint",
    method: "DELETE",
    path: "/webhook-endpoints/{endpointId}",
    summary: "Stop telling this URL.",
    scope: "webhooks",
    wholeCompany: true,
    params: endpointParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({ ok: z.literal(true) }),
    run: async (ctx, principal, { params }) => {
      await ctx.runMutation(internal.api.endpoints.deleteEndpoint, { principal, ...params });
      return { ok: true as const };
    },
  }),
  operation({
    id: "rotateWebhookSecret",
    method: "POST",
    path: "/webhook-endpoints/{endpointId}/rotate-secret",
    summary:
      "A new signing secret, shown once. Until previousUntil events carry a signature of the former one, too.",
    scope: "webhooks",
    wholeCompany: true,
    params: endpointParams,
    query: noQuery,
    body: z.strictObject({
      graceMs: z
        .number()
        .int()
        .min(0)
        .max(604_800_000)
        .optional()
        .describe("Default 24 hours, at most 7 days"),
    }),
    status: 200,
    response: z.object({ signingSecret: z.string(), previousUntil: time }),
    idempotent: "The same key as that of the last rotation makes no other secret, but tells the same",
    run: async (ctx, principal, { params, body: { graceMs = ROTATION_GRACE_DEFAULT_MS }, idempotencyKey }) =>
      await ctx.runAction(internal.api.endpoints.rotateEndpointSecret, {
        principal,
        ...params,
        graceMs,
        idempotencyKey,
      }),
  }),
  operation({
    id: "listWebhookEvents",
    method: "GET",
    path: "/webhook-endpoints/{endpointId}/events",
    summary: "The latest events of an endpoint and what became of them.",
    scope: "webhooks",
    wholeCompany: true,
    params: endpointParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({
      events: z.array(
        z.object({
          eventId: z.string(),
          state: z.enum(["pending", "delivered", "failed"]),
          attempts: z.number(),
          createdAt: time,
          lastError: z.string().nullable(),
        }),
      ),
    }),
    run: async (ctx, principal, { params }) => ({
      events: await ctx.runQuery(internal.api.endpoints.listEvents, { principal, ...params }),
    }),
  }),
];
