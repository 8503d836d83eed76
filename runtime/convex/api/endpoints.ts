/** Webhook endpoints of a company: the database's side of api/operations/webhooks.ts. */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc, Id } from "../_generated/dataModel.js";
import {
  type ActionCtx,
  internalAction,
  internalMutation,
  internalQuery,
  type QueryCtx,
} from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { readRuntimeConfig } from "../config/read.ts";
import { FactoryError } from "../errors.ts";
import { takeWithin } from "../policy/takeWithin.ts";
import { webhookUrlProblem } from "../policy/webhookUrl.ts";
import { toBase64 } from "../secrets/digest.ts";
import { importAs, versionAfter } from "../secrets/importSecret.ts";
import { type Principal, vPrincipal } from "./authorize.ts";
import { ENDPOINTS_MAX, isEmbedded, signingRef } from "./events.ts";
import { actorOf } from "./principal.ts";

const SECRET_BYTES = 32;
const EVENTS_LISTED_MAX = 100;

const newSigningSecret = (): string =>
  `whsec_${toBase64(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)))}`;

/**
 * The signing secret of this version, made unless a former sending of the same request has made it: whoever repeats a
 * request because its answer was lost gets what the first was answered.
 */
async function signingSecretOf(
  ctx: ActionCtx,
  principal: Principal,
  endpointId: Id<"webhookEndpoints">,
  version: number,
): Promise<string> {
  const secretRef = signingRef(endpointId);
  await importAs(ctx, version, { secretRef, plaintextValue: newSigningSecret(), actor: actorOf(principal) });
  const secret: string | null = await ctx.runQuery(internal.secrets.read.reveal, { secretRef });
  if (secret === null) throw new FactoryError("not_found", `Webhook endpoint '${endpointId}' not found`);
  return secret;
}

/** Registers an endpoint. The signing secret is returned here and nowhere else. */
export const createEndpoint = internalAction({
  args: { principal: vPrincipal, url: v.string(), idempotencyKey: v.union(v.string(), v.null()) },
  returns: v.object({ endpointId: v.string(), signingSecret: v.string() }),
  handler: async (ctx, { principal, ...asked }): Promise<{ endpointId: string; signingSecret: string }> => {
    const endpointId: Id<"webhookEndpoints"> = await ctx.runMutation(internal.api.endpoints.storeEndpoint, {
      principal,
      ...asked,
    });
    const signingSecret = await signingSecretOf(ctx, principal, endpointId, 1);
    // Only now: an event before this moment would find no secret to be signed with.
    await ctx.runMutation(internal.api.endpoints.enableEndpoint, { endpointId });
    return { endpointId, signingSecret };
  },
});

export const storeEndpoint = internalMutation({
  args: { principal: vPrincipal, url: v.string(), idempotencyKey: v.union(v.string(), v.null()) },
  returns: v.id("webhookEndpoints"),
  handler: async (ctx, { principal, url, idempotencyKey }) => {
    const { config } = await readRuntimeConfig(ctx);
    const problem = webhookUrlProblem(url, isEmbedded(config));
    if (problem !== null) throw new FactoryError("invalid_argument", problem);
    const existing = await ctx.db
      .query("webhookEndpoints")
      .withIndex("by_company", (q) => q.eq("companyId", principal.companyId))
      .take(ENDPOINTS_MAX);
    const known =
      idempotencyKey === null ? undefined : existing.find((row) => row.idempotencyKey === idempotencyKey);
    if (known !== undefined) {
      if (known.url === url) return known._id;
      throw new FactoryError("conflict", "This Idempotency-Key was used for another webhook endpoint");
    }
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
      ...(idempotencyKey === null ? {} : { idempotencyKey }),
    });
    await recordAudit(ctx, {
      actor: actorOf(principal),
      action: "webhook_endpoint.create",
      target: id,
      outcome: "ok",
    });
    return id;
  },
});

const vRotation = {
  principal: vPrincipal,
  endpointId: v.string(),
  graceMs: v.number(),
  idempotencyKey: v.union(v.string(), v.null()),
};

/**
 * A new signing secret; the former one signs beside it for `graceMs` more, so that the receiver may change over at any
 * moment in between. The new one is returned here and nowhere else.
 */
export const rotateEndpointSecret = internalAction({
  args: vRotation,
  returns: v.object({ signingSecret: v.string(), previousUntil: v.number() }),
  handler: async (ctx, asked): Promise<{ signingSecret: string; previousUntil: number }> => {
    // Before the import: should this action end in between, the receiver's secret still signs.
    const { id, version, previousUntil }: BegunRotation = await ctx.runMutation(
      internal.api.endpoints.beginRotation,
      asked,
    );
    return { signingSecret: await signingSecretOf(ctx, asked.principal, id, version), previousUntil };
  },
});

const vBegunRotation = v.object({
  id: v.id("webhookEndpoints"),
  version: v.number(),
  previousUntil: v.number(),
});
type BegunRotation = Infer<typeof vBegunRotation>;

export const beginRotation = internalMutation({
  args: vRotation,
  returns: vBegunRotation,
  handler: async (ctx, { principal, endpointId, graceMs, idempotencyKey }) => {
    const { _id: id, rotation, ...endpoint } = await requireEndpoint(ctx, principal, endpointId);
    // Once more, it would make the receiver's own secret the one before the former, and nobody's signature would fit.
    if (rotation !== undefined && idempotencyKey !== null && rotation.idempotencyKey === idempotencyKey) {
      return { id, version: rotation.version, previousUntil: endpoint.previousUntil ?? Date.now() };
    }
    const previousUntil = Date.now() + graceMs;
    const version = await versionAfter(ctx, signingRef(id));
    await ctx.db.patch("webhookEndpoints", id, { previousUntil, rotation: { idempotencyKey, version } });
    await recordAudit(ctx, {
      actor: actorOf(principal),
      action: "webhook_endpoint.rotate",
      target: id,
      outcome: "ok",
    });
    return { id, version, previousUntil };
  },
});

/** @throws not_found for an endpoint that is not the company's. */
async function requireEndpoint(
  ctx: QueryCtx,
  principal: Principal,
  endpointId: string,
): Promise<Doc<"webhookEndpoints">> {
  const id = ctx.db.normalizeId("webhookEndpoints", endpointId);
  const endpoint = id === null ? null : await ctx.db.get("webhookEndpoints", id);
  if (endpoint === null || endpoint.companyId !== principal.companyId) {
    throw new FactoryError("not_found", `Webhook endpoint '${endpointId}' not found`);
  }
  return endpoint;
}

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
    const endpoint = await requireEndpoint(ctx, principal, endpointId);
    await ctx.db.delete("webhookEndpoints", endpoint._id);
    const actor = actorOf(principal);
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
    const endpoint = await requireEndpoint(ctx, principal, endpointId);
    const latest = ctx.db
      .query("webhookEvents")
      .withIndex("by_endpoint", (q) => q.eq("endpointId", endpoint._id))
      .order("desc");
    const { rows: events } = await takeWithin(latest, EVENTS_LISTED_MAX);
    return events.map(({ eventId, state, attempts, createdAt, lastError }) => ({
      eventId,
      state,
      attempts,
      createdAt,
      lastError: lastError ?? null,
    }));
  },
});
