/** Manifests and the blobs behind them. A blob is deleted when the last manifest that named it goes. */
import type { Infer } from "convex/values";
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx, QueryCtx } from "../_generated/server.js";
import type { vStoredFile } from "./tables.ts";
import { clipText } from "../policy/clipText.ts";

/** Convex ends a transaction after 4,096 reads of an index: a deleted file takes up to four, and a turn's end has its own. */
const FILES_PER_RUN = 500;

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
 * Takes a snapshot out of use: every blob that `kept` does not name goes, and its manifest with the last of them.
 * One with more files than fit the transaction keeps the others, and its status, for the next call.
 *
 * @returns whether all of it is gone.
 */
export async function retireSnapshot(
  ctx: MutationCtx,
  snapshot: Doc<"dataSnapshots">,
  status: "failed" | "expired",
  kept: readonly StoredFile[],
  errorMessage?: string,
): Promise<boolean> {
  const manifest = await manifestOf(ctx, snapshot._id);
  if (manifest?.state.kind === "stored") {
    const keptBlobs = new Set(kept.map((file) => file.storageId));
    const unkept = manifest.state.files.filter(({ storageId }) => !keptBlobs.has(storageId));
    const blobs = [...new Set(unkept.map((file) => file.storageId))];
    const going = new Set(blobs.slice(0, FILES_PER_RUN));
    for (const storageId of going) await deleteBlob(ctx, storageId);
    if (blobs.length > going.size) {
      const files = unkept.filter(({ storageId }) => !going.has(storageId));
      await ctx.db.patch("snapshotManifests", manifest._id, { state: { kind: "stored", files } });
      await ctx.db.patch("dataSnapshots", snapshot._id, { current: false, fileCount: files.length });
      return false;
    }
  }
  if (manifest !== null) await ctx.db.delete("snapshotManifests", manifest._id);
  await ctx.db.patch("dataSnapshots", snapshot._id, {
    status,
    current: false,
    ...(errorMessage === undefined ? {} : { errorMessage: clipText(errorMessage, 500) }),
  });
  return true;
}

/**
 * Takes the first of these snapshots out of use, as many as fit the transaction; part of one, if it is large.
 *
 * @returns those that are gone, and whether others are left.
 */
export async function retireWithin(
  ctx: MutationCtx,
  snapshots: ReadonlyArray<Doc<"dataSnapshots">>,
  current: (snapshot: Doc<"dataSnapshots">) => Promise<Doc<"dataSnapshots"> | null>,
): Promise<{ retired: number; more: boolean }> {
  let retired = 0;
  let files = 0;
  for (const snapshot of snapshots) {
    const kept = await current(snapshot);
    files += snapshot.fileCount + (kept?.fileCount ?? 0);
    if (retired > 0 && files > FILES_PER_RUN) return { retired, more: true };
    const gone = await retireSnapshot(ctx, snapshot, "expired", await storedFilesOf(ctx, kept?._id ?? null));
    if (!gone) return { retired, more: true };
    retired += 1;
  }
  return { retired, more: false };
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
