/** Files that consumer apps attach. Whoever knows a file's id has not shown that it is theirs. */
import type { Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";

/**
 * Makes the file the company's, by its first use in a message. Another company's file, and one of a conversation's
 * snapshot, read like one that does not exist.
 *
 * @throws not_found
 */
export async function claimUpload(ctx: MutationCtx, companyId: string, storageId: string): Promise<void> {
  const id = ctx.db.system.normalizeId("_storage", storageId);
  const stored = id === null ? null : await ctx.db.system.get("_storage", id);
  if (id !== null && stored !== null && (await mayClaim(ctx, companyId, id))) return;
  throw new FactoryError("not_found", `Attachment '${storageId}' is not stored here; upload it first`);
}

async function mayClaim(ctx: MutationCtx, companyId: string, storageId: Id<"_storage">): Promise<boolean> {
  const upload = await ctx.db
    .query("uploads")
    .withIndex("by_storage", (q) => q.eq("storageId", storageId))
    .unique();
  if (upload !== null) return upload.companyId === companyId;
  const snapshot = await ctx.db
    .query("snapshotBlobs")
    .withIndex("by_storage", (q) => q.eq("storageId", storageId))
    .first();
  if (snapshot !== null) return false;
  await ctx.db.insert("uploads", { storageId, companyId });
  return true;
}
