/**
 * Importing a secret. An action encrypts, since only actions have cryptographic randomness, and a mutation
 * stores under the version that the action encrypted for.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { Id } from "../_generated/dataModel.js";
import {
  type ActionCtx,
  internalAction,
  internalMutation,
  internalQuery,
  type QueryCtx,
} from "../_generated/server.js";
import { recordAudit } from "../audit/record.ts";
import { FactoryError } from "../errors.ts";
import { checkSecret } from "../policy/secretRef.ts";
import { readKeyRing, seal } from "./envelope.ts";
import { findActive } from "./read.ts";

/** Imports of one ref that overlap take turns; more than this many at once is not a person. */
const STORE_TRIES_MAX = 8;

type Imported = { secretId: Id<"secrets">; secretRef: string; version: number };

const vImported = v.object({ secretId: v.id("secrets"), secretRef: v.string(), version: v.number() });

/** `factory:importSecret` (spec C1): the new version becomes the active one, and remembers the one before. */
export const importSecret = internalAction({
  args: {
    secretRef: v.string(),
    plaintextValue: v.string(),
    metadata: v.optional(v.record(v.string(), v.string())),
    actor: v.optional(v.string()),
  },
  returns: vImported,
  handler: async (ctx, secret): Promise<Imported> => {
    const { secretRef } = secret;
    for (let attempt = 0; attempt < STORE_TRIES_MAX; attempt += 1) {
      const version: number = await ctx.runQuery(internal.secrets.importSecret.nextVersion, { secretRef });
      const secretId = await importAs(ctx, version, secret);
      if (secretId !== null) return { secretId, secretRef, version };
    }
    throw new FactoryError("conflict", `Secret '${secretRef}' is being imported by others at the same time`);
  },
});

type NewSecret = {
  secretRef: string;
  plaintextValue: string;
  metadata?: Record<string, string>;
  actor?: string;
};

/** One import, as this version or not at all: null when the ref has it already. @throws invalid_argument */
export async function importAs(
  ctx: ActionCtx,
  version: number,
  { secretRef, plaintextValue, metadata, actor }: NewSecret,
): Promise<Id<"secrets"> | null> {
  const problem = checkSecret(secretRef, plaintextValue, {
    cloudUrl: process.env.CONVEX_CLOUD_URL,
    siteUrl: process.env.CONVEX_SITE_URL,
  });
  if (problem !== null) throw new FactoryError("invalid_argument", problem);
  const sealed = await seal({ secretRef, version }, plaintextValue, readKeyRing());
  return await ctx.runMutation(internal.secrets.importSecret.store, {
    secretRef,
    version,
    ...sealed,
    metadata,
    actor: actor ?? "operator",
  });
}

/** The version that the next import of a ref gets; 1 for a ref without any. */
export async function versionAfter(ctx: QueryCtx, secretRef: string): Promise<number> {
  const highest = await ctx.db
    .query("secrets")
    .withIndex("by_ref_version", (q) => q.eq("secretRef", secretRef))
    .order("desc")
    .first();
  return (highest?.version ?? 0) + 1;
}

export const nextVersion = internalQuery({
  args: { secretRef: v.string() },
  returns: v.number(),
  handler: async (ctx, { secretRef }): Promise<number> => await versionAfter(ctx, secretRef),
});

/** Returns null when another import took this version meanwhile: what was encrypted is bound to it. */
export const store = internalMutation({
  args: {
    secretRef: v.string(),
    version: v.number(),
    keyId: v.string(),
    wrappedKey: v.string(),
    ciphertext: v.string(),
    metadata: v.optional(v.record(v.string(), v.string())),
    actor: v.string(),
  },
  returns: v.union(v.id("secrets"), v.null()),
  handler: async (ctx, { actor, ...row }): Promise<Id<"secrets"> | null> => {
    if ((await versionAfter(ctx, row.secretRef)) !== row.version) return null;
    const former = await findActive(ctx, row.secretRef);
    if (former !== null) await ctx.db.patch("secrets", former._id, { active: false });
    const secretId = await ctx.db.insert("secrets", {
      ...row,
      active: true,
      createdAt: Date.now(),
      ...(former === null ? {} : { rotatedFrom: former._id }),
    });
    await recordAudit(ctx, {
      actor,
      action: "secret.import",
      target: row.secretRef,
      outcome: "ok",
      detail: `version ${row.version}`,
    });
    return secretId;
  },
});
