/** Service keys: made, rotated and revoked by operators; shown once. */
import { type Infer, v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Doc } from "../_generated/dataModel.js";
import { internalAction, internalMutation, internalQuery, type QueryCtx } from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { SERVICE_KEY_ID_BYTES, SERVICE_KEY_SECRET_BYTES, serviceKeyId } from "../policy/serviceKey.ts";
import { sha256Hex, toBase64Url } from "../secrets/digest.ts";
import { API_SCOPES, vApiScope } from "./tables.ts";

const REQUESTS_PER_MINUTE_DEFAULT = 600;
const REQUESTS_PER_MINUTE_MAX = 60_000;
const ROTATION_GRACE_DEFAULT_MS = 24 * 60 * 60_000;
const ROTATION_GRACE_MAX_MS = 30 * 24 * 60 * 60_000;
const NAME_UNITS_MAX = 128;
const AGENTS_MAX = 200;
const LIST_MAX = 500;

const vNewKey = {
  name: v.string(),
  companyId: v.string(),
  /** Default: all. */
  scopes: v.optional(v.array(vApiScope)),
  agentKeys: v.optional(v.array(v.string())),
  requestsPerMinute: v.optional(v.number()),
  expiresAt: v.optional(v.number()),
  actor: v.optional(v.string()),
};

function newSecret(keyId: string): string {
  return `afk_${keyId}_${toBase64Url(crypto.getRandomValues(new Uint8Array(SERVICE_KEY_SECRET_BYTES)))}`;
}

/** `factory:createServiceKey`: the only time that the key itself is seen. */
export const createServiceKey = internalAction({
  args: vNewKey,
  returns: v.object({ keyId: v.string(), serviceKey: v.string() }),
  handler: async (ctx, args) => {
    const keyId = serviceKeyId(crypto.getRandomValues(new Uint8Array(SERVICE_KEY_ID_BYTES)));
    const serviceKey = newSecret(keyId);
    await ctx.runMutation(internal.api.keys.storeKey, {
      ...args,
      keyId,
      keyHash: await sha256Hex(serviceKey),
    });
    return { keyId, serviceKey };
  },
});

export const storeKey = internalMutation({
  args: { ...vNewKey, keyId: v.string(), keyHash: v.string() },
  returns: v.null(),
  handler: async (ctx, { actor, scopes, requestsPerMinute = REQUESTS_PER_MINUTE_DEFAULT, ...key }) => {
    for (const field of ["name", "companyId"] as const) {
      if (key[field].trim() === "" || key[field].length > NAME_UNITS_MAX) {
        throw new FactoryError("invalid_argument", `${field} must have 1 to ${NAME_UNITS_MAX} characters`);
      }
    }
    if ((key.agentKeys?.length ?? 0) > AGENTS_MAX) {
      throw new FactoryError("invalid_argument", `agentKeys may name at most ${AGENTS_MAX} agents`);
    }
    if (!(requestsPerMinute >= 1 && requestsPerMinute <= REQUESTS_PER_MINUTE_MAX)) {
      throw new FactoryError("invalid_argument", `requestsPerMinute must be 1 to ${REQUESTS_PER_MINUTE_MAX}`);
    }
    await ctx.db.insert("serviceKeys", {
      ...key,
      scopes: scopes ?? [...API_SCOPES],
      requestsPerMinute: Math.floor(requestsPerMinute),
      createdAt: Date.now(),
    });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "service_key.create",
      target: key.keyId,
      outcome: "ok",
      detail: `company ${key.companyId}, ${key.name}`,
    });
    return null;
  },
});

export async function findKey(ctx: QueryCtx, keyId: string): Promise<Doc<"serviceKeys"> | null> {
  return await ctx.db
    .query("serviceKeys")
    .withIndex("by_key_id", (q) => q.eq("keyId", keyId))
    .unique();
}

async function requireKey(ctx: QueryCtx, keyId: string): Promise<Doc<"serviceKeys">> {
  const key = await findKey(ctx, keyId);
  if (key === null) throw new FactoryError("not_found", `Service key '${keyId}' not found`);
  return key;
}

/** `factory:rotateServiceKey`: a new key under the same id; the old one works for `graceMs` more (default a day). */
export const rotateServiceKey = internalAction({
  args: { keyId: v.string(), graceMs: v.optional(v.number()), actor: v.optional(v.string()) },
  returns: v.object({ keyId: v.string(), serviceKey: v.string(), previousUntil: v.number() }),
  handler: async (ctx, args): Promise<{ keyId: string; serviceKey: string; previousUntil: number }> => {
    const serviceKey = newSecret(args.keyId);
    const previousUntil: number = await ctx.runMutation(internal.api.keys.storeRotation, {
      ...args,
      keyHash: await sha256Hex(serviceKey),
    });
    return { keyId: args.keyId, serviceKey, previousUntil };
  },
});

export const storeRotation = internalMutation({
  args: {
    keyId: v.string(),
    keyHash: v.string(),
    graceMs: v.optional(v.number()),
    actor: v.optional(v.string()),
  },
  returns: v.number(),
  handler: async (ctx, { keyId, keyHash, graceMs = ROTATION_GRACE_DEFAULT_MS, actor }) => {
    const key = await requireKey(ctx, keyId);
    if (key.revokedAt !== undefined) throw new FactoryError("conflict", `Service key '${keyId}' is revoked`);
    if (!(graceMs >= 0 && graceMs <= ROTATION_GRACE_MAX_MS)) {
      throw new FactoryError("invalid_argument", `graceMs must be 0 to ${ROTATION_GRACE_MAX_MS}`);
    }
    const previousUntil = Date.now() + graceMs;
    await ctx.db.patch("serviceKeys", key._id, { keyHash, previousHash: key.keyHash, previousUntil });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "service_key.rotate",
      target: keyId,
      outcome: "ok",
    });
    return previousUntil;
  },
});

/** `factory:revokeServiceKey`: at once, former key included. */
export const revokeServiceKey = internalMutation({
  args: { keyId: v.string(), actor: v.optional(v.string()) },
  returns: v.object({ revoked: v.boolean() }),
  handler: async (ctx, { keyId, actor }) => {
    const key = await requireKey(ctx, keyId);
    if (key.revokedAt !== undefined) return { revoked: false };
    await ctx.db.patch("serviceKeys", key._id, { revokedAt: Date.now() });
    await recordAudit(ctx, {
      actor: actor ?? "operator",
      action: "service_key.revoke",
      target: keyId,
      outcome: "ok",
    });
    return { revoked: true };
  },
});

const vKeyView = v.object({
  keyId: v.string(),
  name: v.string(),
  companyId: v.string(),
  scopes: v.array(vApiScope),
  agentKeys: v.union(v.array(v.string()), v.null()),
  requestsPerMinute: v.number(),
  createdAt: v.number(),
  expiresAt: v.union(v.number(), v.null()),
  revokedAt: v.union(v.number(), v.null()),
});

/** `factory:listServiceKeys`: never the keys themselves. */
export const listServiceKeys = internalQuery({
  args: { companyId: v.optional(v.string()) },
  returns: v.array(vKeyView),
  handler: async (ctx, { companyId }): Promise<Infer<typeof vKeyView>[]> => {
    const keys =
      companyId === undefined
        ? await ctx.db.query("serviceKeys").take(LIST_MAX)
        : await ctx.db
            .query("serviceKeys")
            .withIndex("by_company", (q) => q.eq("companyId", companyId))
            .take(LIST_MAX);
    return keys.map((key) => ({
      keyId: key.keyId,
      name: key.name,
      companyId: key.companyId,
      scopes: key.scopes,
      agentKeys: key.agentKeys ?? null,
      requestsPerMinute: key.requestsPerMinute,
      createdAt: key.createdAt,
      expiresAt: key.expiresAt ?? null,
      revokedAt: key.revokedAt ?? null,
    }));
  },
});
