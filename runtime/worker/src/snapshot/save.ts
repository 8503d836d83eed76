/** Stores a conversation's state under the lease of its turn: manifest first, then only the blobs that are new. */
import { type LeaseRef, SNAPSHOT_CONTENT_TYPE } from "../../../convex/validators.ts";
import type { UploadedBlob, WorkerBackend } from "../backend/backend.ts";
import { encodeBlob } from "./codec.ts";
import type { FolderFile } from "./folder.ts";
import { uploadBlob } from "./upload.ts";

const UPLOADS_AT_ONCE = 4;

export interface SavedSnapshot {
  snapshotId: string;
  version: number;
  /** Blobs and encoded bytes that travelled. */
  uploadedBlobs: number;
  uploadedBytes: number;
}

/**
 * Saves `files` as the conversation's next snapshot.
 *
 * @returns null when the lease is lost: whatever was uploaded is collected by the backend.
 * @throws when an upload fails; the backend was told, and the last good snapshot stays the current one.
 */
export async function saveSnapshot(
  backend: WorkerBackend,
  lease: LeaseRef,
  files: readonly FolderFile[],
  signal: AbortSignal,
  reached: (point: "prepared" | "uploaded" | "finalized") => void = () => undefined,
): Promise<SavedSnapshot | null> {
  const manifest = files.map(({ path, sha256, content }) => ({ path, sha256, sizeBytes: content.length }));
  const prepared = await backend.prepareDataSnapshotUpload(lease, manifest);
  reached("prepared");
  const byHash = new Map(files.map((file) => [file.sha256, file.content]));
  const uploaded: UploadedBlob[] = [];
  let uploadedBytes = 0;
  const queue = [...prepared.uploads];
  try {
    const lanes = Array.from({ length: Math.min(UPLOADS_AT_ONCE, queue.length) }, async () => {
      for (let upload = queue.shift(); upload !== undefined; upload = queue.shift()) {
        const content = byHash.get(upload.sha256);
        if (content === undefined)
          throw new Error("The backend asked for a blob that this snapshot does not have");
        const { encoding, body } = await encodeBlob(content);
        uploaded.push({
          sha256: upload.sha256,
          storageId: await uploadBlob(upload.uploadUrl, body, signal, SNAPSHOT_CONTENT_TYPE),
          encoding,
        });
        uploadedBytes += body.length;
      }
    });
    await Promise.all(lanes);
  } catch (error) {
    signal.throwIfAborted();
    const message = error instanceof Error ? error.message : String(error);
    await backend.failDataSnapshotUpload(lease, prepared.snapshotId, message);
    throw error;
  }
  reached("uploaded");
  const finalized = await backend.finalizeDataSnapshotUpload(lease, prepared.snapshotId, uploaded);
  reached("finalized");
  if (!finalized.ready || finalized.version === null) return null;
  return {
    snapshotId: prepared.snapshotId,
    version: finalized.version,
    uploadedBlobs: uploaded.length,
    uploadedBytes,
  };
}
