/** What a worker restores. Only ever of the conversation that it holds a lease on. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { QueryCtx } from "../_generated/server.js";
import { heldMessage } from "../queue/fence.ts";
import type { LeaseRef, SnapshotForRestore } from "../validators.ts";
import { currentSnapshot, storedFilesOf } from "./manifests.ts";

/** Version of the snapshot to restore; null for a conversation without one. One document. */
export async function currentSnapshotVersion(
  ctx: QueryCtx,
  conversation: Id<"conversations">,
): Promise<number | null> {
  return (await currentSnapshot(ctx, conversation))?.version ?? null;
}

/** The snapshot to restore, with a download URL for each file. */
export async function snapshotForRestore(
  ctx: QueryCtx,
  conversation: Id<"conversations">,
): Promise<SnapshotForRestore | null> {
  const current = await currentSnapshot(ctx, conversation);
  if (current === null) return null;
  const urls = new Map<string, string>();
  const files: SnapshotForRestore["files"] = [];
  for (const { path, sha256, sizeBytes, encoding, storageId } of await storedFilesOf(ctx, current._id)) {
    const url = urls.get(storageId) ?? (await ctx.storage.getUrl(storageId));
    // A manifest never outlives its blobs; should one be gone, the worker's download says so and names the file.
    if (url !== null) urls.set(storageId, url);
    files.push({ path, sha256, sizeBytes, encoding, url: url ?? "about:blank" });
  }
  return { snapshotId: current._id, version: current.version, files };
}

/** For its lease holder; null for anybody else, and for a conversation without a snapshot. */
export async function latestSnapshotForRestore(
  ctx: QueryCtx,
  worker: Doc<"workers">,
  lease: LeaseRef,
): Promise<SnapshotForRestore | null> {
  const message = await heldMessage(ctx, worker, lease, Date.now());
  return message === null ? null : await snapshotForRestore(ctx, message.conversation);
}
