/** Pairing codes and bindings of the company's people. */
import * as z from "zod";
import { internal } from "../../_generated/api.js";
import type { ActionCtx } from "../../_generated/server.js";
import { FactoryError } from "../../errors.ts";
import type { Principal } from "../authorize.ts";
import { noBody, noParams, noQuery, operation, type Operation } from "../operation.ts";
import { actorOf } from "../principal.ts";
import { agentKey, consumerId, time } from "../shapes.ts";
import { mayReach, requireAgent } from "../tenancy.ts";

const userParams = z.strictObject({ userId: consumerId });
const binding = z.object({
  agentKey: z.string(),
  status: z.enum(["active", "revoked"]),
  source: z.enum(["manual", "telegram_pairing", "api"]),
  telegramUserId: z.string().nullable(),
  telegramChatId: z.string().nullable(),
  conversationId: z.string().nullable(),
  boundAt: time,
  revokedAt: time.nullable(),
  revokedBecause: z.string().nullable(),
});

const person = (principal: Principal, userId: string) => ({
  companyId: principal.companyId,
  consumerUserId: userId,
});

/** A key that is limited to some agents ends no binding to another one. Checked here: the rooms behind know no keys. */
async function requireReachable(ctx: ActionCtx, principal: Principal, userId: string): Promise<void> {
  if (principal.agentKeys === null) return;
  const { active } = await ctx.runQuery(
    internal.identity.bindings.getUserAgentBinding,
    person(principal, userId),
  );
  if (active !== null) requireAgent(principal, active.agentKey);
}

export const peopleOperations: readonly Operation[] = [
  operation({
    id: "createPairingCode",
    method: "POST",
    path: "/pairing-codes",
    summary: "A one-time code that pairs a person's Telegram with an agent. Earlier codes of the pair end.",
    scope: "people:write",
    params: noParams,
    query: noQuery,
    body: z.strictObject({
      userId: consumerId,
      agentKey,
      ttlMs: z.number().int().min(60_000).max(86_400_000).optional().describe("Default 15 minutes"),
    }),
    status: 201,
    response: z.object({
      code: z.string(),
      expiresAt: time,
      deepLink: z
        .string()
        .nullable()
        .describe("Opens the bot with the code; null until a webhook is configured"),
    }),
    run: async (ctx, principal, { body: { userId, ...rest } }) => {
      requireAgent(principal, rest.agentKey);
      return await ctx.runAction(internal.identity.pairing.createPairingCode, {
        ...person(principal, userId),
        ...rest,
        actor: actorOf(principal),
      });
    },
  }),
  operation({
    id: "getPairingCodeStatus",
    method: "POST",
    path: "/pairing-codes/status",
    summary: "What a code reads as now. A POST, so that codes stay out of URLs and logs.",
    scope: "people:read",
    params: noParams,
    query: noQuery,
    body: z.strictObject({ code: z.string().min(4).max(128) }),
    status: 200,
    response: z.object({
      status: z.enum(["pending", "used", "expired"]),
      userId: z.string(),
      agentKey: z.string(),
      expiresAt: time,
      usedAt: time.nullable(),
    }),
    run: async (ctx, principal, { body }) => {
      const found = await ctx.runQuery(internal.identity.pairing.getPairingCodeStatus, {
        ...body,
        companyId: principal.companyId,
      });
      if (found === null || !mayReach(principal, found.agentKey)) {
        throw new FactoryError("not_found", "Pairing code not found");
      }
      const { consumerUserId: userId, ...rest } = found;
      return { userId, ...rest };
    },
  }),
  operation({
    id: "getBinding",
    method: "GET",
    path: "/users/{userId}/binding",
    summary: "The person's active binding and the latest former ones.",
    scope: "people:read",
    params: userParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({ active: binding.nullable(), history: z.array(binding) }),
    run: async (ctx, principal, { params }) => {
      const { active, history } = await ctx.runQuery(
        internal.identity.bindings.getUserAgentBinding,
        person(principal, params.userId),
      );
      return {
        active: active !== null && mayReach(principal, active.agentKey) ? active : null,
        history: history.filter(({ agentKey: key }) => mayReach(principal, key)),
      };
    },
  }),
  operation({
    id: "bindUser",
    method: "PUT",
    path: "/users/{userId}/binding",
    summary:
      "Bind a person to an agent; an earlier binding ends. Telegram ids come from pairing, never from here.",
    scope: "people:write",
    params: userParams,
    query: noQuery,
    body: z.strictObject({ agentKey }),
    status: 200,
    response: z.object({ bindingId: z.string() }),
    run: async (ctx, principal, { params, body }) => {
      requireAgent(principal, body.agentKey);
      await requireReachable(ctx, principal, params.userId);
      return await ctx.runMutation(internal.identity.bindings.bindUserAgent, {
        ...person(principal, params.userId),
        agentKey: body.agentKey,
        source: "api",
        actor: actorOf(principal),
      });
    },
  }),
  operation({
    id: "revokeBinding",
    method: "DELETE",
    path: "/users/{userId}/binding",
    summary: "End the person's binding.",
    scope: "people:write",
    params: userParams,
    query: noQuery,
    body: noBody,
    status: 200,
    response: z.object({ revoked: z.number() }),
    run: async (ctx, principal, { params }) => {
      await requireReachable(ctx, principal, params.userId);
      return await ctx.runMutation(internal.identity.bindings.revokeUserAgentBinding, {
        ...person(principal, params.userId),
        actor: actorOf(principal),
      });
    },
  }),
];
