/** Second half of an upload, and its two ends: `complete` commits it, or the worker gives it up. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { manifestLimits } from "../policy/snapshotManifest.ts";
import { heldMessage } from "../queue/fence.ts";
import { type LeaseRef, SNAPSHOT_CONTENT_TYPE } from "../validators.ts";
import { currentSnapshot, manifestOf, retireSnapshot, type StoredFile, storedFilesOf } from "./manifests.ts";

export interface UploadedBlob {
  sha256: string;
  storageId: Id<"_storage">;
  encoding: "zstd" | "identity";
}

type SnapshotRef = LeaseRef & { snapshotId: Id<"dataSnapshots"> };

/** Encoding may add a few bytes to a file that does not shrink. */
const ENCODED_BYTES_MAX = manifestLimits.fileBytesMax + 64 * 1024;

/**
 * Marks a snapshot ready once every blob of its manifest is stored. It is not restored before `complete`.
 *
 * @returns not ready for a stale holder or a snapshot that is no longer uploading.
 * @throws invalid_argument when a blob is missing or is not this upload's.
 */
export async function finalizeUpload(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  { snapshotId, uploaded, ...lease }: SnapshotRef & { uploaded: UploadedBlob[] },
): Promise<{ ready: boolean; version: number | null }> {
  const snapshot = await ownSnapshot(ctx, worker, lease, snapshotId);
  if (snapshot === null) return { ready: false, version: null };
  if (snapshot.status === "ready") return { ready: true, version: snapshot.version }; // A repeated call.
  const manifest = snapshot.status === "uploading" ? await manifestOf(ctx, snapshotId) : null;
  if (manifest === null || manifest.state.kind !== "wanted") return { ready: false, version: null };

  const blobs = new Map<string, { storageId: Id<"_storage">; encoding: "zstd" | "identity" }>();
  const current = await currentSnapshot(ctx, snapshot.conversation);
  for (const { sha256, storageId, encoding } of await storedFilesOf(ctx, current?._id ?? null)) {
    blobs.set(sha256, { storageId, encoding });
  }
  const wanted = new Set(manifest.state.files.map((file) => file.sha256));
  for (const { sha256, storageId, encoding } of uploaded) {
    if (!wanted.has(sha256))
      throw new FactoryError("invalid_argument", `uploaded: ${sha256} is not in the manifest`);
    if (blobs.has(sha256)) continue;
    await adoptBlob(ctx, storageId, snapshot);
    blobs.set(sha256, { storageId, encoding });
  }

  const files: StoredFile[] = manifest.state.files.map((file) => {
    const blob = blobs.get(file.sha256);
    if (blob === undefined) {
      throw new FactoryError(
        "invalid_argument",
        `uploaded: the blob of ${JSON.stringify(file.path)} is missing`,
      );
    }
    return { ...file, ...blob };
  });
  await ctx.db.patch("snapshotManifests", manifest._id, { state: { kind: "stored", files } });
  await ctx.db.patch("dataSnapshots", snapshotId, { status: "ready" });
  return { ready: true, version: snapshot.version };
}

/**
 * A worker names blobs by id: only a file that was stored for this upload, and is nobody's yet, may become ours,
 * because what is ours is deleted one day.
 */
async function adoptBlob(
  ctx: MutationCtx,
  storageId: Id<"_storage">,
  snapshot: Doc<"dataSnapshots">,
): Promise<void> {
  const blob = await ctx.db.system.get("_storage", storageId);
  if (blob === null) throw new FactoryError("invalid_argument", "uploaded: a blob does not exist");
  const owner = await ctx.db
    .query("snapshotBlobs")
    .withIndex("by_storage", (q) => q.eq("storageId", storageId))
    .first();
  const fresh = owner === null && blob._creationTime >= snapshot._creationTime;
  if (!fresh || blob.contentType !== SNAPSHOT_CONTENT_TYPE || blob.size > ENCODED_BYTES_MAX) {
    throw new FactoryError("invalid_argument", "uploaded: a blob does not belong to this upload");
  }
  await ctx.db.insert("snapshotBlobs", { storageId, conversation: snapshot.conversation });
}

/** The worker gives up; the current snapshot stays what it was. */
export async function failUpload(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  { snapshotId, errorMessage, ...lease }: SnapshotRef & { errorMessage: string },
): Promise<boolean> {
  const snapshot = await ownSnapshot(ctx, worker, lease, snapshotId);
  if (snapshot === null || snapshot.current || snapshot.status !== "uploading") return false;
  const current = await currentSnapshot(ctx, snapshot.conversation);
  await retireSnapshot(ctx, snapshot, "failed", await storedFilesOf(ctx, current?._id ?? null), errorMessage);
  return true;
}

/**
 * Makes a ready snapshot the one to restore. Called by `complete` in its transaction, so that what is remembered
 * is exactly what was answered: a turn that dies before `complete` is run again from the state before it.
 */
export async function commitSnapshot(
  ctx: MutationCtx,
  message: Doc<"messageQueue">,
  snapshotId: string,
): Promise<void> {
  const id = ctx.db.normalizeId("dataSnapshots", snapshotId);
  const snapshot = id === null ? null : await ctx.db.get("dataSnapshots", id);
  const committable =
    snapshot !== null &&
    snapshot.conversation === message.conversation &&
    snapshot.messageId === message._id &&
    snapshot.leaseId === message.leaseId &&
    snapshot.status === "ready";
  if (!committable) throw new FactoryError("conflict", "snapshotId: not a ready snapshot of this turn");
  const previous = await currentSnapshot(ctx, message.conversation);
  if (previous?._id === snapshot._id) return;
  await ctx.db.patch("dataSnapshots", snapshot._id, { current: true });
  if (previous !== null)
    await retireSnapshot(ctx, previous, "expired", await storedFilesOf(ctx, snapshot._id));
}

async function ownSnapshot(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  lease: LeaseRef,
  snapshotId: Id<"dataSnapshots">,
): Promise<Doc<"dataSnapshots"> | null> {
  const message = await heldMessage(ctx, worker, lease, Date.now());
  if (message === null) return null;
  const snapshot = await ctx.db.get("dataSnapshots", snapshotId);
  return snapshot !== null && snapshot.messageId === message._id && snapshot.leaseId === lease.leaseId
    ? snapshot
    : null;
}
