import { defineTable } from "convex/server";
import { v } from "convex/values";
import { vSnapshotFile } from "../validators.ts";

/**
 * uploading: prepared, blobs may be on their way. ready: every blob is stored; it counts once the turn's
 * `complete` commits it. failed: the worker gave up. expired: replaced, or left behind by a turn that died.
 */
export const vSnapshotStatus = v.union(
  v.literal("uploading"),
  v.literal("ready"),
  v.literal("failed"),
  v.literal("expired"),
);

/** A file whose blob is stored. Blobs belong to one conversation; equal files of two are stored twice. */
export const vStoredFile = v.object({
  ...vSnapshotFile.fields,
  storageId: v.id("_storage"),
  encoding: v.union(v.literal("zstd"), v.literal("identity")),
});

export const snapshotTables = {
  /**
   * One row per snapshot. Written by the holder of a turn's lease; `current` by its `complete` alone. The current
   * row lives as long as its conversation; the others are deleted by the collector after a while.
   */
  dataSnapshots: defineTable({
    conversation: v.id("conversations"),
    version: v.number(),
    status: vSnapshotStatus,
    /** The one to restore: the latest whose turn was completed. */
    current: v.boolean(),
    messageId: v.id("messageQueue"),
    leaseId: v.string(),
    fileCount: v.number(),
    totalBytes: v.number(),
    errorMessage: v.optional(v.string()),
  })
    .index("by_conversation_version", ["conversation", "version"])
    .index("by_conversation_current", ["conversation", "current"])
    .index("by_conversation_status", ["conversation", "status", "current"])
    .index("by_current_status", ["current", "status"]),

  /**
   * Files of one snapshot, apart from its row because they are large and seldom needed. Written by prepare and
   * finalize; deleted, with the blobs that no other manifest names, when the snapshot fails or expires.
   */
  snapshotManifests: defineTable({
    snapshot: v.id("dataSnapshots"),
    state: v.union(
      v.object({ kind: v.literal("wanted"), files: v.array(vSnapshotFile) }),
      v.object({ kind: v.literal("stored"), files: v.array(vStoredFile) }),
    ),
  }).index("by_snapshot", ["snapshot"]),

  /** One row per stored blob: what tells the collector that a stored file is in use. Written by finalize. */
  snapshotBlobs: defineTable({
    storageId: v.id("_storage"),
    conversation: v.id("conversations"),
  }).index("by_storage", ["storageId"]),
};
