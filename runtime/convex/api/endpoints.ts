/** Webhook endpoints of a company: the database's side of api/operations/webhooks.ts. */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import { internalAction, internalMutation, internalQuery } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { webhookUrlProblem } from "../policy/webhookUrl.ts";
import { toBase64 } from "../secrets/digest.ts";
import { ENDPOINTS_MAX, signingRef } from "./events.ts";
import { vPrincipal } from "./authorize.ts";

const SECRET_BYTES = 32;
const EVENTS_LISTED_MAX = 100;

/** Registers an endpoint. The signing secret is returned here and nowhere else. */
export const createEndpoint = internalAction({
  args: { principal: vPrincipal, url: v.string() },
  returns: v.object({ endpointId: v.string(), signingSecret: v.string() }),
  handler: async (ctx, { principal, url }): Promise<{ endpointId: string; signingSecret: string }> => {
    const endpointId: Id<"webhookEndpoints"> = await ctx.runMutation(internal.api.endpoints.storeEndpoint, {
      principal,
      url,
    });
    const signingSecret = `whsec_${toBase64(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))}`;
    await ctx.runAction(internal.secrets.importSecret.importSecret, {
      secretRef: signingRef(endpointId),
      plaintextValue: signingSecret,
      actor: `api:${principal.keyId}`,
    });
    // Only now: an event before this moment would find no secret to be signed with.
    await ctx.runMutation(internal.api.endpoints.enableEndpoint, { endpointId });
    return { endpointId, signingSecret };
  },
});

export const storeEndpoint = internalMutation({
  args: { principal: vPrincipal, url: v.string() },
  returns: v.id("webhookEndpoints"),
  handler: async (ctx, { principal, url }) => {
    const { config } = await readRuntimeConfig(ctx);
    const embedded = new URL(config.telegram.apiUrl).hostname === "127.0.0.1";
    const problem = webhookUrlProblem(url, embedded);
    if (problem !== null) throw new FactoryError("invalid_argument", problem);
    const existing = await ctx.db
      .query("webhookEndpoints")
      .withIndex("by_company", (q) => q.eq("companyId", principal.companyId))
      .take(ENDPOINTS_MAX);
    if (existing.length >= ENDPOINTS_MAX) {
      throw new FactoryError(
        "conflict",
        `A company may have at most ${ENDPOINTS_MAX} webhook endpoints; delete one first`,
      );
    }
    const id = await ctx.db.insert("webhookEndpoints", {
      companyId: principal.companyId,
      url,
      enabled: false,
      createdAt: Date.now(),
    });
    await recordAudit(ctx, {
      actor: `api:${principal.keyId}`,
      action: "webhook_endpoint.create",
      target: id,
      outcome: "ok",
    });
    return id;
  },
});

export const enableEndpoint = internalMutation({
  args: { endpointId: v.id("webhookEndpoints") },
  returns: v.null(),
  handler: async (ctx, { endpointId }) => {
    await ctx.db.patch("webhookEndpoints", endpointId, { enabled: true });
    return null;
  },
});

export const listEndpoints = internalQuery({
  args: { principal: vPrincipal },
  returns: v.array(
    v.object({ endpointId: v.string(), url: v.string(), enabled: v.boolean(), createdAt: v.number() }),
  ),
  handler: async (ctx, { principal }) => {
    const endpoints = await ctx.db
      .query("webhookEndpoints")
      .withIndex("by_company", (q) => q.eq("companyId", principal.companyId))
      .take(ENDPOINTS_MAX);
    return endpoints.map(({ _id, url, enabled, createdAt }) => ({
      endpointId: _id,
      url,
      enabled,
      createdAt,
    }));
  },
});

/** Removes the endpoint and its secret. Events on their way to it fail with that reason. */
export const deleteEndpoint = internalMutation({
  args: { principal: vPrincipal, endpointId: v.string() },
  returns: v.null(),
  handler: async (ctx, { principal, endpointId }) => {
    const id = ctx.db.normalizeId("webhookEndpoints", endpointId);
    const endpoint = id === null ? null : await ctx.db.get("webhookEndpoints", id);
    if (endpoint === null || endpoint.companyId !== principal.companyId) {
      throw new FactoryError("not_found", `Webhook endpoint '${endpointId}' not found`);
    }
    await ctx.db.delete("webhookEndpoints", endpoint._id);
    const actor = `api:${principal.keyId}`;
    await ctx.scheduler.runAfter(0, internal.secrets.removeSecret.removeSecret, {
      secretRef: signingRef(endpoint._id),
      actor,
    });
    await recordAudit(ctx, { actor, action: "webhook_endpoint.delete", target: endpoint._id, outcome: "ok" });
    return null;
  },
});

export const listEvents = internalQuery({
  args: { principal: vPrincipal, endpointId: v.string() },
  returns: v.array(
    v.object({
      eventId: v.string(),
      state: v.union(v.literal("pending"), v.literal("delivered"), v.literal("failed")),
      attempts: v.number(),
      createdAt: v.number(),
      lastError: v.union(v.string(), v.null()),
    }),
  ),
  handler: async (ctx, { principal, endpointId }) => {
    const id = ctx.db.normalizeId("webhookEndpoints", endpointId);
    const endpoint = id === null ? null : await ctx.db.get("webhookEndpoints", id);
    if (endpoint === null || endpoint.companyId !== principal.companyId) {
      throw new FactoryError("not_found", `Webhook endpoint '${endpointId}' not found`);
    }
    const events = await ctx.db
      .query("webhookEvents")
      .withIndex("by_endpoint", (q) => q.eq("endpointId", endpoint._id))
      .order("desc")
      .take(EVENTS_LISTED_MAX);
    return events.map(({ eventId, state, attempts, createdAt, lastError }) => ({
      eventId,
      state,
      attempts,
      createdAt,
      lastError: lastError ?? null,
    }));
  },
});
