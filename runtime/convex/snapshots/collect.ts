/**
 * The collector: what turns left behind when they died. `prepare` and `complete` clean up after themselves, so it
 * only finds conversations that had no further turn, and blobs whose upload was never finalised.
 */
import { v } from "convex/values";
import { internal } from "../_generated/api.js";
import type { MutationCtx } from "../_generated/server.js";
import { internalMutation } from "../_generated/server.js";
import { holderOf } from "../files/holders.ts";
import { currentSnapshot, retireWithin } from "./manifests.ts";

const HOUR_MS = 3_600_000;
/** No upload takes this long: its URLs last an hour. */
const ABANDONED_AFTER_MS = 6 * HOUR_MS;
/** Rows of failed and expired snapshots are kept this long, for whoever looks into a failure. */
const FINISHED_ROWS_KEPT_MS = 72 * HOUR_MS;
/** The collector runs more often than this, so older orphans were found by an earlier run. */
const ORPHAN_WINDOW_MS = 72 * HOUR_MS;
const BATCH = 50;

/**
 * One bounded batch; schedules itself until nothing old is left.
 *
 * @param orphansAfter creation time, ms, up to which an earlier batch has looked for orphans.
 */
export const collect = internalMutation({
  args: { orphansAfter: v.optional(v.number()) },
  returns: v.object({ retired: v.number(), rowsDeleted: v.number(), orphansDeleted: v.number() }),
  handler: async (ctx, { orphansAfter }) => {
    const now = Date.now();
    const { retired, more } = await retireAbandoned(ctx, now - ABANDONED_AFTER_MS);
    const rowsDeleted = await deleteFinishedRows(ctx, now - FINISHED_ROWS_KEPT_MS);
    const orphans = await deleteOrphans(
      ctx,
      orphansAfter ?? now - ORPHAN_WINDOW_MS,
      now - ABANDONED_AFTER_MS,
    );
    if (more || rowsDeleted === BATCH || orphans.next !== null) {
      await ctx.scheduler.runAfter(0, internal.snapshots.collect.collect, {
        orphansAfter: orphans.next ?? now,
      });
    }
    return { retired, rowsDeleted, orphansDeleted: orphans.deleted };
  },
});

async function retireAbandoned(
  ctx: MutationCtx,
  before: number,
): Promise<{ retired: number; more: boolean }> {
  const abandoned = [];
  for (const status of ["uploading", "ready"] as const) {
    abandoned.push(
      ...(await ctx.db
        .query("dataSnapshots")
        .withIndex("by_current_status", (q) =>
          q.eq("current", false).eq("status", status).lt("_creationTime", before),
        )
        .take(BATCH - abandoned.length)),
    );
    if (abandoned.length === BATCH) break;
  }
  const { retired, more } = await retireWithin(ctx, abandoned, (snapshot) =>
    currentSnapshot(ctx, snapshot.conversation),
  );
  return { retired, more: more || retired === BATCH };
}

async function deleteFinishedRows(ctx: MutationCtx, before: number): Promise<number> {
  let deleted = 0;
  for (const status of ["failed", "expired"] as const) {
    const finished = await ctx.db
      .query("dataSnapshots")
      .withIndex("by_current_status", (q) =>
        q.eq("current", false).eq("status", status).lt("_creationTime", before),
      )
      .take(BATCH - deleted);
    for (const snapshot of finished) await ctx.db.delete("dataSnapshots", snapshot._id);
    deleted += finished.length;
    if (deleted === BATCH) break;
  }
  return deleted;
}

/**
 * Files that nothing names: of snapshots that died between storing and finalising, of answers whose turn died, and
 * uploads of consumer apps that no message carries. Walks the stored files in order of creation, a page per call.
 */
export async function deleteOrphans(
  ctx: MutationCtx,
  after: number,
  before: number,
): Promise<{ deleted: number; next: number | null }> {
  const page = await ctx.db.system
    .query("_storage")
    .withIndex("by_creation_time", (q) => q.gt("_creationTime", after).lt("_creationTime", before))
    .take(BATCH);
  let deleted = 0;
  for (const blob of page) {
    if ((await holderOf(ctx, blob._id)) !== null) continue;
    await ctx.storage.delete(blob._id);
    deleted += 1;
  }
  const last = page.at(-1);
  return { deleted, next: page.length === BATCH && last !== undefined ? last._creationTime : null };
}
