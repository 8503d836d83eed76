/** Manifests and the blobs behind them. A blob is deleted when the last manifest that named it goes. */
import type { Infer } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import type { vStoredFile } from "./tables.ts";
import { clipText } from "../policy/clipText.ts";
import { manifestLimits } from "../policy/snapshotManifest.ts";

export type StoredFile = Infer<typeof vStoredFile>;

export async function currentSnapshot(
  ctx: QueryCtx,
  conversation: Id<"conversations">,
): Promise<Doc<"dataSnapshots"> | null> {
  return await ctx.db
    .query("dataSnapshots")
    .withIndex("by_conversation_current", (q) => q.eq("conversation", conversation).eq("current", true))
    .first();
}

export async function manifestOf(
  ctx: QueryCtx,
  snapshot: Id<"dataSnapshots">,
): Promise<Doc<"snapshotManifests"> | null> {
  return await ctx.db
    .query("snapshotManifests")
    .withIndex("by_snapshot", (q) => q.eq("snapshot", snapshot))
    .first();
}

/** Files of a snapshot whose blobs are stored; none for one that is still being uploaded or is gone. */
export async function storedFilesOf(
  ctx: QueryCtx,
  snapshot: Id<"dataSnapshots"> | null,
): Promise<StoredFile[]> {
  if (snapshot === null) return [];
  const manifest = await manifestOf(ctx, snapshot);
  return manifest?.state.kind === "stored" ? manifest.state.files : [];
}

/**
 * Takes a snapshot out of use: its manifest goes, and every blob that `kept` does not name with it.
 * The manifest's size bounds the work.
 */
export async function retireSnapshot(
  ctx: MutationCtx,
  snapshot: Doc<"dataSnapshots">,
  status: "failed" | "expired",
  kept: readonly StoredFile[],
  errorMessage?: string,
): Promise<void> {
  const manifest = await manifestOf(ctx, snapshot._id);
  if (manifest !== null) {
    if (manifest.state.kind === "stored") {
      const keptBlobs = new Set(kept.map((file) => file.storageId));
      const blobs = new Set(manifest.state.files.map((file) => file.storageId));
      for (const storageId of blobs) {
        if (!keptBlobs.has(storageId)) await deleteBlob(ctx, storageId);
      }
    }
    await ctx.db.delete("snapshotManifests", manifest._id);
  }
  await ctx.db.patch("dataSnapshots", snapshot._id, {
    status,
    current: false,
    ...(errorMessage === undefined ? {} : { errorMessage: clipText(errorMessage, 500) }),
  });
}

/**
 * Takes the first of these snapshots out of use: one at least, and together no more files than one manifest may hold.
 * Convex ends a transaction after 4,096 reads of an index, and a deleted file takes up to four.
 */
export async function retireWithin(
  ctx: MutationCtx,
  snapshots: ReadonlyArray<Doc<"dataSnapshots">>,
  current: (snapshot: Doc<"dataSnapshots">) => Promise<Doc<"dataSnapshots"> | null>,
): Promise<number> {
  let retired = 0;
  let files = 0;
  for (const snapshot of snapshots) {
    const kept = await current(snapshot);
    files += snapshot.fileCount + (kept?.fileCount ?? 0);
    if (retired > 0 && files > manifestLimits.filesMax) break;
    await retireSnapshot(ctx, snapshot, "expired", await storedFilesOf(ctx, kept?._id ?? null));
    retired += 1;
  }
  return retired;
}

async function deleteBlob(ctx: MutationCtx, storageId: Id<"_storage">): Promise<void> {
  const row = await ctx.db
    .query("snapshotBlobs")
    .withIndex("by_storage", (q) => q.eq("storageId", storageId))
    .first();
  if (row === null) return; // Not a snapshot's blob, or deleted before.
  await ctx.db.delete("snapshotBlobs", row._id);
  await ctx.storage.delete(storageId);
}
