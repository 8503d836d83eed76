/** Who needs a stored file. A file lives while a message, a snapshot or an answer names it. */
import type { Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";

export type FileOwner = { conversation: Id<"conversations">; companyId: string | undefined };

export type FileHolder = { kind: "message"; owner: FileOwner } | { kind: "snapshot" } | { kind: "answer" };

/** What needs a stored file; null for one that nothing names. */
export async function holderOf(ctx: QueryCtx, storageId: Id<"_storage">): Promise<FileHolder | null> {
  const attached = await ctx.db
    .query("attachmentFiles")
    .withIndex("by_storage", (q) => q.eq("storageId", storageId))
    .first();
  if (attached !== null) {
    const { conversation, companyId } = attached;
    return { kind: "message", owner: { conversation, companyId } };
  }
  const blob = await ctx.db
    .query("snapshotBlobs")
    .withIndex("by_storage", (q) => q.eq("storageId", storageId))
    .first();
  if (blob !== null) return { kind: "snapshot" };
  const part = await ctx.db
    .query("outbox")
    .withIndex("by_file", (q) => q.eq("content.storageId", storageId))
    .first();
  return part === null ? null : { kind: "answer" };
}

/** Deletes a stored file that nothing names any more; a file that is gone already is fine. */
export async function deleteUnheld(ctx: MutationCtx, storageId: Id<"_storage">): Promise<void> {
  const stored = (await ctx.db.system.get("_storage", storageId)) !== null;
  if (stored && (await holderOf(ctx, storageId)) === null) await ctx.storage.delete(storageId);
}
