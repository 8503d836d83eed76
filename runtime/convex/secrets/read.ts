/** Reading secrets: decrypted for the caller at hand, never stored, never logged. */
import { v } from "convex/values";
import type { Doc } from "../_generated/dataModel.js";
import { internalQuery, type QueryCtx } from "../_generated/server.js";
import { open, readKeyRing } from "./envelope.ts";

export async function findActive(ctx: QueryCtx, secretRef: string): Promise<Doc<"secrets"> | null> {
  return await ctx.db
    .query("secrets")
    .withIndex("by_ref_active", (q) => q.eq("secretRef", secretRef).eq("active", true))
    .first();
}

/**
 * The active value of a ref, null when none was imported.
 *
 * @throws not_configured or decryption_failed: an unreadable secret is never taken for a missing one.
 */
export async function readSecret(ctx: QueryCtx, secretRef: string): Promise<string | null> {
  const row = await findActive(ctx, secretRef);
  return row === null ? null : await open(row, row, readKeyRing());
}

/** The value that the active one replaced; null when it is the first, or the former was removed. @throws likewise */
export async function readFormerSecret(ctx: QueryCtx, secretRef: string): Promise<string | null> {
  const formerId = (await findActive(ctx, secretRef))?.rotatedFrom;
  const former = formerId === undefined ? null : await ctx.db.get("secrets", formerId);
  return former === null || former.wrappedKey === "" ? null : await open(former, former, readKeyRing());
}

/** For actions, which cannot read the database themselves. */
export const reveal = internalQuery({
  args: { secretRef: v.string() },
  returns: v.union(v.string(), v.null()),
  handler: async (ctx, { secretRef }): Promise<string | null> => await readSecret(ctx, secretRef),
});

const STATUS_REFS_MAX = 200;

/** `factory:secretStatus`: whether each ref has an active version, in argument order; never a value. */
export const secretStatus = internalQuery({
  args: { secretRefs: v.array(v.string()) },
  returns: v.array(
    v.object({ secretRef: v.string(), hasActive: v.boolean(), version: v.union(v.number(), v.null()) }),
  ),
  handler: async (ctx, { secretRefs }) => {
    const statuses = [];
    for (const secretRef of secretRefs.slice(0, STATUS_REFS_MAX)) {
      const row = await findActive(ctx, secretRef);
      statuses.push({ secretRef, hasActive: row !== null, version: row?.version ?? null });
    }
    return statuses;
  },
});
