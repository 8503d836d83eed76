/** First half of an upload: the manifest is stored, and the worker learns which blobs are missing. */
import type { Doc, Id } from "../_generated/dataModel.js";
import type { MutationCtx } from "../_generated/server.js";
import { FactoryError } from "../errors.ts";
import { manifestProblem } from "../policy/snapshotManifest.ts";
import { heldMessage } from "../queue/fence.ts";
import type { LeaseRef, SnapshotFile } from "../validators.ts";
import { currentSnapshot, retireWithin, storedFilesOf } from "./manifests.ts";

/** Left-overs of turns that died are cleared a few at a time: every turn leaves at most one. */
const LEFTOVERS_PER_CALL = 4;

export interface PreparedUpload {
  snapshotId: Id<"dataSnapshots">;
  uploads: Array<{ sha256: string; uploadUrl: string }>;
}

/**
 * Opens the next snapshot of the message's conversation.
 *
 * @throws forbidden without the lease; invalid_argument for a manifest that may not be stored.
 */
export async function prepareUpload(
  ctx: MutationCtx,
  worker: Doc<"workers">,
  { files, ...lease }: LeaseRef & { files: SnapshotFile[] },
): Promise<PreparedUpload> {
  const message = await heldMessage(ctx, worker, lease, Date.now());
  if (message === null) throw new FactoryError("forbidden", "The lease is not held by this worker any more");
  const problem = manifestProblem(files);
  if (problem !== null) throw new FactoryError("invalid_argument", problem);

  const current = await currentSnapshot(ctx, message.conversation);
  const stored = await storedFilesOf(ctx, current?._id ?? null);
  const leftovers = [];
  for (const status of ["uploading", "ready"] as const) {
    leftovers.push(
      ...(await ctx.db
        .query("dataSnapshots")
        .withIndex("by_conversation_status", (q) =>
          q.eq("conversation", message.conversation).eq("status", status).eq("current", false),
        )
        .take(LEFTOVERS_PER_CALL)),
    );
  }
  await retireWithin(ctx, leftovers, async () => current);

  const latest = await ctx.db
    .query("dataSnapshots")
    .withIndex("by_conversation_version", (q) => q.eq("conversation", message.conversation))
    .order("desc")
    .first();
  const snapshotId = await ctx.db.insert("dataSnapshots", {
    conversation: message.conversation,
    version: (latest?.version ?? 0) + 1,
    status: "uploading",
    current: false,
    messageId: message._id,
    leaseId: lease.leaseId,
    fileCount: files.length,
    totalBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
  });
  await ctx.db.insert("snapshotManifests", { snapshot: snapshotId, state: { kind: "wanted", files } });

  const known = new Set(stored.map((file) => file.sha256));
  const missing = new Set(files.map((file) => file.sha256).filter((sha256) => !known.has(sha256)));
  const uploads = [];
  for (const sha256 of missing) uploads.push({ sha256, uploadUrl: await ctx.storage.generateUploadUrl() });
  return { snapshotId, uploads };
}
